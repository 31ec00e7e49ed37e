"""How predicted frames are compared with those that are there."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.kernel import Frames

Values = NDArray[np.float64]
"""A figure for each frame, (frames,)."""
Scores = dict[str, Values]
"""Figures of some frames by name."""


class Match(NamedTuple):
    """How predicted frames agree with those that are there, each (frames,)."""

    accuracy: Values
    hits: Values
    """TP."""
    union: Values
    """TP + FP + FN."""


def match(v: Frames, predicted: Frames) -> Match:
    """How predicted frames (frames, n_visible) agree with those that are there."""
    hits = (v & predicted).sum(axis=1).astype(np.float64)
    there, given = v.sum(axis=1), predicted.sum(axis=1)
    most = np.maximum(there, given)
    return Match(np.where(most > 0, hits / np.maximum(most, 1), 1.0), hits, there + given - hits)


def compared(v: Frames, predictions: list[Frames], previous: Frames) -> Scores:
    """Means over several predictions of each frame, and what copying the frames before would have scored."""
    expected = Match(*np.mean([match(v, predicted) for predicted in predictions], axis=0))
    copied = match(v, previous)
    return {**expected._asdict(), **{f"copy_{name}": values for name, values in copied._asdict().items()}}
