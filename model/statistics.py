"""What music is like in figures, and how far the figures of two sets of pieces agree.

Distributions, each a histogram that sums to 1:

- `polyphony`: notes that sound in a frame.
- `pitch_class`: notes of each of the 12 pitch classes, held frames counted.
- `note_length`: frames that a note lasts, those beyond 32 counted as 32.
- `pitch_range`: semitones between the lowest and the highest note of a piece.
- `scale_consistency`: largest share of a piece's notes that lie in one major or natural minor scale (Mogren 2016).
- `repetition`: share of a piece's frames inside a stretch of 8 or more that was heard before in the piece.

Two distributions p and q overlap by sum_i min(p_i, q_i): 1 where they are the same (Yang and Lerch 2020 compare
generated music with a corpus in this way).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.pianoroll import Roll, runs

STRETCH = 8
"""Frames of the shortest stretch that counts as heard before; the two do not overlap."""
MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])
"""Semitones over the tonic; the natural minor has those of another tonic."""
SCALES = np.array([np.isin(np.arange(12), (MAJOR + tonic) % 12) for tonic in range(12)])  # (scales, pitch classes)

LONGEST_NOTE = 32
EDGES = {
    "polyphony": np.arange(130),
    "pitch_class": np.arange(13),
    "note_length": np.arange(1, LONGEST_NOTE + 2),
    "pitch_range": np.arange(0, 132, 4),
    "scale_consistency": np.linspace(0, 1, 21),
    "repetition": np.linspace(0, 1, 11),
}
"""Bins of each distribution, by its edges."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Description:
    """What some pieces are like: distributions by name, and the means of all but the pitch classes."""

    distributions: dict[str, Values]
    means: dict[str, float]


def describe(rolls: Iterable[Roll], low: int) -> Description:
    """The distributions of some pieces (frames, n_visible) whose lowest key is MIDI note `low`.

    Silent pieces count in `polyphony` only.
    """
    pieces = [_figures_of(roll, low) for roll in rolls]
    values = {name: np.concatenate([np.zeros(0), *(p[name] for p in pieces if name in p)]) for name in EDGES}
    return Description(
        {name: _shares(np.histogram(values[name], edges)[0]) for name, edges in EDGES.items()},
        {name: float(array.mean()) for name, array in values.items() if name != "pitch_class" and array.size},
    )


def overlap(one: Description, other: Description) -> dict[str, float]:
    """How far the distributions agree, by name: from 0 to 1."""
    return {
        name: float(np.minimum(shares, other.distributions[name]).sum()) for name, shares in one.distributions.items()
    }


def repetition(roll: Roll) -> float:
    """Share of frames inside a stretch of `STRETCH` or more frames that the piece has played before."""
    n_stretches = len(roll) - STRETCH + 1
    if n_stretches < 1:
        return 0.0
    _, frames = np.unique(roll, axis=0, return_inverse=True)  # a number for each different frame
    stretches = np.lib.stride_tricks.sliding_window_view(frames.ravel(), STRETCH)
    _, first, which = np.unique(stretches, axis=0, return_index=True, return_inverse=True)
    heard = np.flatnonzero(first[which.ravel()] <= np.arange(n_stretches) - STRETCH)
    inside = np.zeros(len(roll), np.bool_)
    inside[heard[:, None] + np.arange(STRETCH)] = True
    return float(inside.mean())


def _figures_of(roll: Roll, low: int) -> dict[str, NDArray[np.generic]]:
    """What a piece adds to each distribution: a value for each of its frames or notes, or one."""
    polyphony = roll.sum(axis=1)
    if not polyphony.any():
        return {"polyphony": polyphony}
    start, end, column = runs(roll)
    keys = np.unique(column)
    notes = np.bincount((column + low) % 12, minlength=12)
    return {
        "polyphony": polyphony,
        "pitch_class": (np.nonzero(roll)[1] + low) % 12,
        "note_length": np.minimum(end - start, LONGEST_NOTE),
        "pitch_range": keys[-1:] - keys[0],
        "scale_consistency": np.array([(SCALES @ notes).max() / len(column)]),
        "repetition": np.array([repetition(roll)]),
    }


def _shares(counts: NDArray[np.generic]) -> Values:
    """Counts as shares of their sum."""
    numbers = counts.astype(np.float64)
    shares: Values = numbers / max(numbers.sum(), 1)
    return shares
