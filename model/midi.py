"""Standard MIDI files to piano-rolls.

Reading goes through symusic, which opens the not quite standard files that musicians' programs open and
strict parsers refuse. It is taken as far as ticks only: seconds are computed here, in integers, because
its own conversion is in float32, too coarse for a frame's edge after some minutes.

Files are written by model.midi_writer, which also says how a piece's end is marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from model.config import PIANO, Sampling, Tonality
from model.errors import MidiError
from model.midi_writer import ALL_NOTES_OFF
from model.pianoroll import Roll, frame_at_or_after, from_notes
from model.tonality import find_key, semitones_to_common

if TYPE_CHECKING:
    from symusic.core import ScoreTick, TrackTick

DEFAULT_BEAT = 500_000
"""Microseconds of a quarter note where a file says nothing: 120 to the minute."""


@dataclass(frozen=True)
class Bounds:
    """What is read of a stranger's file; checked before memory is taken for it."""

    max_bytes: int = 8 << 20
    max_notes: int = 200_000
    max_seconds: float = 4 * 3600
    max_beats: float = 100_000
    max_frames: int = 1_000_000


@dataclass(frozen=True)
class PieceInfo:
    """What a report on a corpus says of a piece; drums count in `drum_notes` only."""

    notes: int
    drum_notes: int
    tracks: int
    lowest: int
    """MIDI note."""
    highest: int
    seconds: float
    beats: float
    tempo: float
    """Beats (quarter notes) to the minute at the first note."""
    format: int

    def frames(self, sampling: Sampling) -> int:
        """Rows of the piece's roll."""
        length = self.seconds / sampling.dt if sampling.dt else self.beats * (sampling.steps_per_beat or 1)
        return int(frame_at_or_after(np.asarray(length)))


class TempoMap:
    """Seconds of ticks, with all tempo changes."""

    def __init__(self, ticks: NDArray[np.int64], micros: NDArray[np.int64], ticks_per_beat: int) -> None:
        """`ticks` of the changes and `micros`, the microseconds of a beat from there on, both (changes,)."""
        order = np.argsort(ticks, kind="stable")
        self.ticks = np.concatenate(([0], ticks[order]))
        self.micros = np.concatenate(([DEFAULT_BEAT], micros[order]))
        self.ticks_per_beat = ticks_per_beat
        # In units of a microsecond over ticks_per_beat: integers below 2**31 * 2**24, so nothing is rounded.
        self._elapsed = np.concatenate(([0], np.cumsum(np.diff(self.ticks) * self.micros[:-1])))

    def _change(self, ticks: NDArray[np.int64]) -> NDArray[np.intp]:
        return np.searchsorted(self.ticks, ticks, side="right") - 1

    def seconds(self, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds from the beginning, elementwise."""
        change = self._change(ticks)
        elapsed = self._elapsed[change] + (ticks - self.ticks[change]) * self.micros[change]
        return np.asarray(elapsed / (self.ticks_per_beat * 1e6))

    def tempo(self, tick: np.int64) -> float:
        """Beats to the minute at a tick."""
        return 60e6 / float(self.micros[self._change(np.asarray(tick))])


@dataclass(frozen=True)
class Notes:
    """A file's sounding notes without drums: arrays (notes,), `start` and `end` in ticks, `end` after `start`."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    pitch: NDArray[np.int64]
    length: np.int64
    """Ticks to the end of the piece."""
    tempi: TempoMap

    def beats(self, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Beats (quarter notes) from the beginning, elementwise; tempo plays no part."""
        return np.asarray(ticks / self.tempi.ticks_per_beat)

    def positions(self, ticks: NDArray[np.int64], sampling: Sampling) -> NDArray[np.float64]:
        """Frames from the beginning, elementwise."""
        if sampling.dt:
            return self.tempi.seconds(ticks) / sampling.dt
        return self.beats(ticks) * (sampling.steps_per_beat or 1)


def key_of(notes: Notes) -> str | None:
    """The key of a piece, by the ticks for which each pitch class sounds."""
    return find_key(np.bincount(notes.pitch % 12, notes.end - notes.start, minlength=12).astype(np.float64))


def read_roll(
    data: bytes,
    sampling: Sampling,
    pitch_range: tuple[int, int] = PIANO,
    bounds: Bounds | None = None,
    tonality: Tonality = "own",
) -> Roll:
    """Roll (frames, high - low) of a MIDI file's bytes, drums left out.

    Sampling by seconds follows all tempo changes, sampling by beats none. Notes outside `pitch_range`
    leave no mark but count for the length. In common tonality the piece is moved to C major or C minor. Raises
    MidiError.
    """
    bounds = bounds or Bounds()
    notes, info = parse(data, bounds)
    if tonality == "common":
        notes = replace(notes, pitch=notes.pitch + semitones_to_common(key_of(notes)))
    return _roll(notes, _frames(info, sampling, bounds), sampling, pitch_range)


class TrackRolls(Sequence[Roll]):
    """A piece's roll, and that of each of its tracks, made when it is asked for; all are (frames, n_visible).

    The tracks are those that sound a note, drums left out, in the order of the file and numbered from 0. A track that
    plays on several channels or with several programs counts as several, in the order of channel and program; so the
    channels of a format 0 file are tracks.
    """

    def __init__(self, tracks: Sequence[Notes], roll: Roll, sampling: Sampling, pitch_range: tuple[int, int]) -> None:
        self.roll = roll
        self._tracks = tracks
        self._sampling = sampling
        self._pitch_range = pitch_range

    def __len__(self) -> int:
        return len(self._tracks)

    @overload
    def __getitem__(self, index: int) -> Roll: ...
    @overload
    def __getitem__(self, index: slice) -> list[Roll]: ...
    def __getitem__(self, index: int | slice) -> Roll | list[Roll]:
        chosen = self._tracks[index]
        return self._roll(chosen) if isinstance(chosen, Notes) else [self._roll(notes) for notes in chosen]

    def _roll(self, notes: Notes) -> Roll:
        return _roll(notes, len(self.roll), self._sampling, self._pitch_range)


def read_track_rolls(
    data: bytes, sampling: Sampling, pitch_range: tuple[int, int] = PIANO, bounds: Bounds | None = None
) -> TrackRolls:
    """A MIDI file's bytes, track by track, for a model to play on from or to fill in.

    Where `read_roll` leaves out a note outside `pitch_range`, here it is an error. Raises MidiError.
    """
    bounds = bounds or Bounds()
    notes, info = parse(data, bounds)
    low, high = pitch_range
    if info.lowest < low or info.highest >= high:
        raise MidiError(
            f"the piece's notes go from {info.lowest} to {info.highest}, and the model has only {low} to {high - 1}: "
            "transpose the piece, or leave out the notes beyond"
        )
    roll = _roll(notes, _frames(info, sampling, bounds), sampling, pitch_range)
    score = _read_score(data)
    tracks = [_collect(score, [track]) for track in score.tracks if not track.is_drum]
    return TrackRolls([track for track in tracks if len(track.start)], roll, sampling, pitch_range)


def _frames(info: PieceInfo, sampling: Sampling, bounds: Bounds) -> int:
    """Rows of the roll, if they are within bounds."""
    frames = info.frames(sampling)
    if frames > bounds.max_frames:
        raise MidiError(
            f"the piece has {frames:,} frames at this time step; at most {bounds.max_frames:,} are read: "
            "choose a longer time step or cut the piece"
        )
    return frames


def _roll(notes: Notes, frames: int, sampling: Sampling, pitch_range: tuple[int, int]) -> Roll:
    start, end = (notes.positions(ticks, sampling) for ticks in (notes.start, notes.end))
    return from_notes(start, end, notes.pitch, frames=frames, pitch_range=pitch_range)


def describe(data: bytes, bounds: Bounds | None = None) -> PieceInfo:
    """Facts of a MIDI file's bytes, without a roll. Raises MidiError where `read_roll` would at any step."""
    return parse(data, bounds or Bounds())[1]


def parse(data: bytes, bounds: Bounds) -> tuple[Notes, PieceInfo]:
    """Notes and facts of a MIDI file's bytes, within `bounds` (but for `max_frames`). Raises MidiError."""
    if len(data) > bounds.max_bytes:
        raise MidiError(f"the file is larger than {bounds.max_bytes / (1 << 20):g} MiB, the most that is read of one")
    file_format = _check_header(data)
    score = _read_score(data)
    pitched = [track for track in score.tracks if not track.is_drum]
    total = sum(len(track.notes) for track in score.tracks)
    if total > bounds.max_notes:
        raise MidiError(f"the piece has {total:,} notes; at most {bounds.max_notes:,} are read")
    notes = _collect(score, pitched)
    drum_notes = total - sum(len(track.notes) for track in pitched)
    if not len(notes.start):
        raise MidiError(f"the file has no notes{' but drums, which are left out' if drum_notes else ''}")
    info = PieceInfo(
        notes=len(notes.start),
        drum_notes=drum_notes,
        tracks=sum(len(track.notes) > 0 for track in pitched),
        lowest=int(notes.pitch.min()),
        highest=int(notes.pitch.max()),
        seconds=float(notes.tempi.seconds(np.asarray(notes.length))),
        beats=float(notes.beats(np.asarray(notes.length))),
        tempo=notes.tempi.tempo(notes.start.min()),
        format=file_format,
    )
    _check_length(info, bounds)
    return notes, info


def _check_header(data: bytes) -> int:
    """The file's format, 0 or 1; MidiError for headers that symusic reads without asking or cannot name."""
    if not data:
        raise MidiError("the file is empty")
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        raise MidiError("this is a RIFF file (.rmi) with the MIDI file inside; save it as a standard MIDI file")
    if data[:4] != b"MThd":
        raise MidiError("not a MIDI file: it does not begin with MThd")
    if len(data) < 14:
        raise MidiError("the file ends in the middle of its header; copy or download it again")
    file_format, _, division = (int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12))
    if file_format == 2:
        raise MidiError("this is a format 2 file (independent patterns); save it as format 1")
    if file_format > 2:
        raise MidiError(f"format {file_format} is unknown (0 and 1 are read); save it as format 1")
    if division & 0x8000:
        raise MidiError("the file counts time in SMPTE frames (SMPTE time division); save it with ticks to the beat")
    if division == 0:
        raise MidiError("the file says 0 ticks to the beat, so its notes have no time; export it again")
    return file_format


def _read_score(data: bytes) -> "ScoreTick":
    from symusic.core import ScoreTick  # noqa: PLC0415 (a worker that only writes starts without it)

    try:
        return ScoreTick.from_midi(data)
    except (RuntimeError, ValueError, OverflowError) as error:
        raise MidiError(_damage(data)) from error


def _damage(data: bytes) -> str:
    """What is wrong with a file that has a good header and cannot be read."""
    at, tracks = 8 + int.from_bytes(data[4:8], "big"), 0
    while at + 8 <= len(data):
        tracks += data[at : at + 4] == b"MTrk"
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "big")
    if at > len(data):
        return "the file ends in the middle of a track; copy or download it again"
    if tracks < (declared := int.from_bytes(data[10:12], "big")):
        return f"the file ends after {tracks} of its {declared} tracks; copy or download it again"
    return "the file is damaged: a track holds what is no MIDI event; open it in a notation program and export it again"


def _collect(score: "ScoreTick", tracks: "list[TrackTick]") -> Notes:
    """The sounding notes of `tracks`; MidiError where a time or a tempo makes no sense."""
    columns = [track.notes.numpy() for track in tracks]
    controls = [track.controls.numpy() for track in tracks]
    start, duration, pitch = (_join(columns, name) for name in ("time", "duration", "pitch"))
    marks = _join(controls, "time")[_join(controls, "number") == ALL_NOTES_OFF]
    changes = score.tempos.numpy()
    times, micros = (_join([changes], name) for name in ("time", "mspq"))
    if any(np.any(ticks < 0) for ticks in (start, duration, marks, times)):
        raise MidiError("the file's times run past what can be counted (2,147,483,647 ticks); it is damaged")
    if np.any(micros <= 0):
        raise MidiError("the file sets a tempo of 0 microseconds to the beat; correct the tempo and export it again")
    sounding = duration > 0
    start, end, pitch = start[sounding], (start + duration)[sounding], pitch[sounding]
    length = np.max(np.concatenate((end, marks)), initial=0)
    return Notes(start, end, pitch, length, TempoMap(times, micros, score.ticks_per_quarter))


def _join(columns: list[dict[str, NDArray[np.generic]]], name: str) -> NDArray[np.int64]:
    """One column of several tables, in integers wide enough for sums and products."""
    return np.concatenate([np.zeros(0, np.int64), *(table[name].astype(np.int64) for table in columns)])


def _check_length(info: PieceInfo, bounds: Bounds) -> None:
    if info.seconds > bounds.max_seconds:
        raise MidiError(f"the piece lasts {_duration(info.seconds)}; at most {_duration(bounds.max_seconds)} are read")
    if info.beats > bounds.max_beats:
        raise MidiError(f"the piece lasts {info.beats:,.0f} beats; at most {bounds.max_beats:,.0f} are read")


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:g} seconds"
