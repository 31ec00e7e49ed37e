"""Many pieces as piano-rolls, bit-packed, and what can be said of them together."""

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO, overload

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.errors import CorpusError, MidiError
from model.midi import read_roll
from model.pianoroll import Roll

MAX_BYTES = 1 << 30
"""Most that the packed rolls of a corpus take: 97 million frames of 88 keys, eleven months at 0.3 s a frame."""
BLOCK_FRAMES = 1 << 16
LONGEST_USUAL = 200
UNREADABLE_NPZ = (
    zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, KeyError, TypeError, ValueError
)  # fmt: skip
"""What NumPy and zipfile raise at damage, by where it is; RuntimeError and its kin where it looks like a password."""


@dataclass(frozen=True, eq=False)
class PackedRolls(Sequence[Roll]):
    """Pieces as piano-rolls in a bit a cell; `rolls[i]` unpacks piece i to (frames, n_visible)."""

    bits: NDArray[np.uint8]
    """(n_frames, ceil(n_visible / 8)): the frames of all pieces one after another, as `np.packbits` packs a row."""
    offsets: NDArray[np.int64]
    """(pieces + 1,): piece i is the frames offsets[i] to offsets[i + 1]."""
    n_visible: int
    refused: tuple[tuple[str, str], ...] = ()
    """Names of the pieces that were left out, and why."""

    @classmethod
    def pack(cls, rolls: Iterable[Roll], n_visible: int) -> "PackedRolls":
        """Pack rolls (frames, n_visible), unpacked one at a time."""
        bits = bytearray()
        lengths = [0]
        for roll in rolls:
            bits += np.packbits(roll, axis=1).tobytes()
            lengths.append(len(roll))
        rows = np.frombuffer(bits, np.uint8).reshape(-1, _row_bytes(n_visible))
        return cls(rows, np.cumsum(lengths, dtype=np.int64), n_visible)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> Roll: ...
    @overload
    def __getitem__(self, index: slice) -> list[Roll]: ...
    def __getitem__(self, index: int | slice) -> Roll | list[Roll]:
        pieces = range(len(self))[index]
        return self.frames(pieces) if isinstance(pieces, int) else [self.frames(piece) for piece in pieces]

    def frames(self, piece: int, start: int = 0, stop: int | None = None) -> Roll:
        """Frames `start` to `stop` of a piece, 0 <= piece < len(self), as (frames, n_visible); cut off at its end."""
        first, end = self.offsets[piece : piece + 2].tolist()
        rows = self.bits[first:end][start:stop]
        return np.unpackbits(rows, axis=1, count=self.n_visible).view(np.bool_)

    @property
    def usual_length(self) -> int:
        """Frames of the piece in the middle, `LONGEST_USUAL` at most: how long pieces are drawn to be compared."""
        return int(min(LONGEST_USUAL, np.median(self.lengths)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each piece, (pieces,)."""
        return np.diff(self.offsets)

    @property
    def n_frames(self) -> int:
        """Frames of all pieces together."""
        return len(self.bits)

    def notes_by_key(self) -> NDArray[np.int64]:
        """In how many frames each key sounds, (n_visible,)."""
        blocks = range(0, self.n_frames, BLOCK_FRAMES)
        unpacked = (np.unpackbits(self.bits[i : i + BLOCK_FRAMES], axis=1, count=self.n_visible) for i in blocks)
        notes = np.zeros(self.n_visible, np.int64)
        for block in unpacked:
            notes += block.sum(axis=0, dtype=np.int64)
        return notes

    @cached_property
    def ranges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The lowest and the highest key of each piece, each (pieces,); the outermost of all for a silent one."""
        heard = np.zeros((len(self), self.bits.shape[1]), np.uint8)
        some = self.lengths > 0
        if some.any():
            heard[some] = np.bitwise_or.reduceat(self.bits, self.offsets[:-1][some], axis=0)
        keys = np.unpackbits(heard, axis=1, count=self.n_visible)
        return keys.argmax(axis=1), self.n_visible - 1 - keys[:, ::-1].argmax(axis=1)

    def save(self, file: IO[bytes], label: str) -> None:
        """Write an .npz that `load` reads under the same label."""
        about = json.dumps({"label": label, "n_visible": self.n_visible, "refused": self.refused})
        np.savez(file, allow_pickle=False, about=np.array(about), bits=self.bits, offsets=self.offsets)

    @classmethod
    def load(cls, file: IO[bytes], label: str) -> "PackedRolls":
        """What `save` wrote to a seekable file.

        Raises:
            CorpusError: the file is damaged, or was not saved under that label.
        """
        try:
            with np.load(file) as arrays:
                about = json.loads(str(arrays["about"]))
                if about["label"] != label:
                    raise CorpusError(f"the file holds {about['label']!r} and not {label!r}")
                refused = tuple((name, reason) for name, reason in about["refused"])
                rolls = cls(arrays["bits"], arrays["offsets"], about["n_visible"], refused)
        except UNREADABLE_NPZ as error:
            raise CorpusError(f"the file of rolls is damaged: {error}") from error
        return rolls


def read_rolls(pieces: Iterable[tuple[str, bytes]], config: ModelConfig, *, strict: bool = True) -> PackedRolls:
    """The rolls of named MIDI files, as a model of that config sees them.

    A piece that cannot be read at this time step is an error if `strict`, and else left out and named in `refused`.

    Raises:
        CorpusError: no piece sounds a note within the pitch range, one cannot be read at this time step, or all
            together have too many frames.
    """
    refused: list[tuple[str, str]] = []
    rolls = PackedRolls.pack(_bounded(_each_roll(pieces, config, None if strict else refused)), config.n_visible)
    if refused and not len(rolls):
        name, reason = refused[0]
        raise CorpusError(f"none of the {len(refused):,} pieces can be used; {name}: {reason}")
    if not rolls.bits.any():
        low, high = config.pitch_range
        raise CorpusError(f"no piece has a note that sounds at a frame and lies in the pitch range {low}..{high - 1}")
    return replace(rolls, refused=tuple(refused))


def _each_roll(
    pieces: Iterable[tuple[str, bytes]], config: ModelConfig, refused: list[tuple[str, str]] | None
) -> Iterator[Roll]:
    """The rolls one by one; a piece that cannot be read is added to `refused`, or an error where that is None."""
    for name, data in pieces:
        try:
            yield read_roll(data, config.sampling, config.pitch_range, tonality=config.tonality)
        except MidiError as error:
            if refused is None:
                raise CorpusError(f"{name}: {error}") from error
            refused.append((name, str(error)))


def _bounded(rolls: Iterable[Roll]) -> Iterator[Roll]:
    """The rolls, as long as they can be held packed."""
    frames = 0
    for roll in rolls:
        frames += len(roll)
        if frames > (most := MAX_BYTES // _row_bytes(roll.shape[1])):
            raise CorpusError(f"the pieces have more than {most:,} frames together: choose a longer time step")
        yield roll


def _row_bytes(n_visible: int) -> int:
    return -(-n_visible // 8)


def statistics(rolls: PackedRolls, low: int) -> dict[str, float]:
    """Pieces, frames, mean notes a frame, lowest and highest sounding MIDI note, share of silent frames."""
    notes = silent = 0
    for start in range(0, rolls.n_frames, BLOCK_FRAMES):
        sounding = np.bitwise_count(rolls.bits[start : start + BLOCK_FRAMES]).sum(axis=1)
        notes += int(sounding.sum())
        silent += int(np.count_nonzero(sounding == 0))
    keys = np.flatnonzero(np.unpackbits(np.bitwise_or.reduce(rolls.bits), count=rolls.n_visible))
    return {
        "pieces": len(rolls),
        "frames": rolls.n_frames,
        "polyphony": round(notes / rolls.n_frames, 3),
        "lowest": int(keys[0]) + low,
        "highest": int(keys[-1]) + low,
        "silent": round(silent / rolls.n_frames, 4),
    }
