"""What a training hears of a corpus, in which key, and what is held out to choose the best epoch by."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.config import TrainingConfig
from model.corpus import PackedRolls
from model.pianoroll import Roll

MOST_HELD_OUT = 20_000
"""Frames: more of them would not choose better, and would be missing in training."""


class Excerpt(NamedTuple):
    """Frames `start` to `stop` of a piece of the training set, moved by so many semitones."""

    piece: int
    start: int
    stop: int
    semitones: int = 0
    begin: int = 0
    """Frame at which what is heard begins: as if the piece did."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The beginnings of some pieces of a corpus, by numbers of their own."""

    rolls: PackedRolls
    pieces: NDArray[np.int64]
    """(pieces,): which of the corpus they are."""
    lengths: NDArray[np.int64]
    """(pieces,): frames of each."""
    held_out: PackedRolls
    """The corpus's other frames."""

    @property
    def n_frames(self) -> int:
        """Frames of all pieces together."""
        return int(self.lengths.sum())

    def notes_by_key(self) -> NDArray[np.int64]:
        """In how many frames each key sounds, (n_visible,)."""
        return self.rolls.notes_by_key() - self.held_out.notes_by_key()

    def frames(self, *excerpts: Excerpt) -> Roll:
        """Parts of pieces one after another, (frames, n_visible)."""
        parts = [self._part(excerpt) for excerpt in excerpts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, excerpt: Excerpt) -> Roll:
        roll = self.rolls.frames(int(self.pieces[excerpt.piece]), excerpt.start, excerpt.stop)
        return np.roll(roll, excerpt.semitones, axis=1) if excerpt.semitones else roll

    def transpositions(self, config: TrainingConfig, epoch: int) -> NDArray[np.int64]:
        """Semitones by which each piece is moved in an epoch, (pieces,): none loses a note by it."""
        if not config.transpose:
            return np.zeros(len(self.pieces), np.int64)
        lowest, highest = self.rolls.ranges
        below = np.minimum(lowest[self.pieces], config.transpose)
        above = np.minimum(self.rolls.n_visible - 1 - highest[self.pieces], config.transpose)
        random = np.random.default_rng((config.seed, epoch, 1))
        return random.integers(-below, above + 1) * (random.random(len(below)) < config.transposed)

    def draw(self, n: int, random: np.random.Generator) -> Roll:
        """So many frames from anywhere, (n, n_visible), in no order."""
        ends = np.cumsum(self.lengths)
        numbers = random.integers(self.n_frames, size=n)
        piece = np.searchsorted(ends, numbers, side="right")
        rows = self.rolls.offsets[self.pieces[piece]] + numbers - (ends - self.lengths)[piece]
        return np.unpackbits(self.rolls.bits[rows], axis=1, count=self.rolls.n_visible).view(np.bool_)


def split(rolls: PackedRolls, config: TrainingConfig) -> TrainingSet:
    """What is trained on of a corpus, and what is held out: the same for the same seed.

    Whole pieces are held out where their share comes to one at least; of fewer pieces it is the end of each. Nothing
    is where not even that has a frame.
    """
    chosen = _whole_pieces(rolls, config)
    if len(chosen):
        pieces = np.setdiff1d(np.arange(len(rolls)), chosen)
        held_out = PackedRolls.pack((rolls[piece] for piece in chosen.tolist()), rolls.n_visible)
        return TrainingSet(rolls, pieces, rolls.lengths[pieces], held_out)
    most = MOST_HELD_OUT / max(len(rolls), 1)
    lengths = rolls.lengths - np.minimum(config.validation * rolls.lengths, most).astype(np.int64)
    ends = (rolls.frames(piece, lengths[piece]) for piece in np.flatnonzero(lengths < rolls.lengths).tolist())
    held_out = PackedRolls.pack(ends, rolls.n_visible)
    return TrainingSet(rolls, np.arange(len(rolls)), lengths, held_out)


def _whole_pieces(rolls: PackedRolls, config: TrainingConfig) -> NDArray[np.int64]:
    """Pieces that are held out, in an order by the seed, as long as they are not too much."""
    order = np.random.default_rng((config.seed, 2)).permutation(len(rolls))
    wanted = order[: int(config.validation * len(rolls))]
    return wanted[np.cumsum(rolls.lengths[wanted]) <= MOST_HELD_OUT]
