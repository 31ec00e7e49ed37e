"""Piano-rolls: boolean arrays (frames, n_visible), one row a time step, one column a key, lowest first.

Frame i is the instant i of the time grid, not an interval: a note sounds in it iff start <= i < end.
"""

import numpy as np
from numpy.typing import NDArray

Roll = NDArray[np.bool_]
"""Piano-roll of shape (frames, n_visible)."""

TOLERANCE = 1e-6
"""Part of a frame by which a position may lie late and still count as on the grid.

Positions come from divisions such as 0.9 s / 0.3 s, whose rounding errors are below 1e-9 for pieces of
a million frames; an interval anyone could have played is far longer than a millionth of a frame.
"""


def frame_at_or_after(position: NDArray[np.float64]) -> NDArray[np.int64]:
    """First whole frame at or after each position (in frames), within `TOLERANCE`."""
    return np.ceil(position - TOLERANCE).astype(np.int64)


def from_notes(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    pitch: NDArray[np.int64],
    *,
    frames: int,
    pitch_range: tuple[int, int],
) -> Roll:
    """Roll (frames, high - low) of notes given by equally long arrays.

    `start` and `end` are positions in frames, `pitch` MIDI notes. Notes outside `pitch_range`, a half-open
    range, are dropped, and what lies beyond `frames` is cut off.
    """
    low, high = pitch_range
    roll = np.zeros((frames, high - low), dtype=np.bool_)
    first = np.clip(frame_at_or_after(start), 0, frames)
    stop = np.clip(frame_at_or_after(end), first, frames)
    for key in np.unique(pitch[(pitch >= low) & (pitch < high)]):
        mine = pitch == key
        begun = np.bincount(first[mine], minlength=frames + 1)
        ended = np.bincount(stop[mine], minlength=frames + 1)
        roll[:, key - low] = np.cumsum(begun - ended)[:frames] > 0
    return roll


def runs(roll: Roll) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Notes of a roll as arrays (start, end, column), each (notes,), by start and then column.

    Consecutive frames of a key are one note; it sounds in the frames start <= i < end.
    """
    silence = np.zeros((1, roll.shape[1]), dtype=np.int8)
    edges = np.diff(roll.astype(np.int8), axis=0, prepend=silence, append=silence).T
    column, start = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)  # the same order, so the n-th end belongs to the n-th start
    order = np.lexsort((column, start))
    return start[order], end[order], column[order]


def count_notes(rolls: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Notes of each of several rolls of the same length, (pieces, frames, n_visible) -> (pieces,)."""
    begun = rolls[:, 1:] & ~rolls[:, :-1]
    notes: NDArray[np.int64] = np.count_nonzero(rolls[:, :1], axis=(1, 2)) + np.count_nonzero(begun, axis=(1, 2))
    return notes
