"""An uploaded MIDI file that a piece goes on from (`primer`) or is filled in around (`source`).

It is read when it is sent, so that what is wrong with it is said at once; its frames go with the job (worker.given).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.config import Sampling
from model.errors import MidiError
from model.midi import Bounds, TrackRolls, describe, key_of, parse, read_track_rolls
from model.pianoroll import Roll
from model.regions import Region, RegionError, kept_cells
from model.tonality import semitones_to_common
from worker.errors import ParameterError, UploadError
from worker.given import pack
from worker.protocol import GenerateParams, Given, KeptRegion, Role, keys_of

MOST_CHARACTERS = 128 * 1024
"""Of a packed roll: Redis holds it until the job is forgotten."""


@dataclass(frozen=True)
class GivenFile:
    """An uploaded file and what it is for."""

    role: Role
    name: str
    data: bytes


def read_given(file: GivenFile, params: GenerateParams, config: dict[str, Any], most_frames: int) -> Given:
    """The frames of a file at the time step and the keys of a model, by its config.

    Raises:
        UploadError: the file cannot be read, has nothing in it, or does not fit the model.
        ParameterError: nothing is said of what is to be kept of a source, or what is said makes no sense.
    """
    try:
        semitones = _semitones(file.data, config)
        keys = keys_of(config, params.transpose + semitones)
        piece = _read(file.data, Sampling(config["dt"], config["steps_per_beat"]), keys, most_frames)
        kept = _kept(params.keep, piece, keys) if file.role == "source" else None
        return Given(
            role=file.role,
            length=len(piece.roll),
            roll=_packed(piece.roll),
            kept=None if kept is None else _packed(kept),
            tempo=describe(file.data).tempo,
            semitones=semitones,
        )
    except MidiError as error:
        reason = str(error)
        raise UploadError(f"{file.role}: {file.name}: {reason}", [{"file": file.name, "reason": reason}]) from error


def _semitones(data: bytes, config: dict[str, Any]) -> int:
    """By which a model of common tonality is moved to be in the file's key, if MIDI has room: the file stays."""
    if config.get("tonality") != "common":
        return 0
    notes, _ = parse(data, Bounds())
    semitones, (low, high) = -semitones_to_common(key_of(notes)), config["pitch_range"]
    return semitones if 0 <= low + semitones < high + semitones <= 128 else 0


def _read(data: bytes, sampling: Sampling, keys: tuple[int, int], most_frames: int) -> TrackRolls:
    piece = read_track_rolls(data, sampling, keys, Bounds(max_frames=most_frames))
    if not piece.roll.any():
        raise MidiError("no note sounds at any of the model's time steps")
    return piece


def _kept(keep: Sequence[KeptRegion] | None, piece: TrackRolls, keys: tuple[int, int]) -> Roll:
    if keep is None:
        raise ParameterError("keep", 'say what stays of the source, as in [{"tracks": [0]}]')
    try:
        return kept_cells([Region(**region.model_dump()) for region in keep], piece, keys)
    except RegionError as error:
        raise ParameterError(error.field, str(error).removeprefix(f"{error.field}: ")) from error


def _packed(roll: Roll) -> str:
    packed = pack(roll)
    if len(packed) > MOST_CHARACTERS:
        raise MidiError("there is too much in the piece: cut it into shorter ones")
    return packed
