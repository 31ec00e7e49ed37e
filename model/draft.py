"""A piece while it is drawn: where it has run into a loop or a cluster, its latest frames are taken back.

What plays alone comes to play one figure over and over, as the memory offers it and the model takes it; or, seldom,
more and more notes at once. Real pieces do not: ADR 18 has how many do, by these rules.
"""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.kernel import Drawing, stream_of
from model.makers import PieceMaker
from model.pianoroll import Roll

STRETCH = 16
"""Frames from one look to the next."""
LONGEST_FIGURE, TIMES, FEWEST, SHARE = 48, 3, 32, 0.9
"""A loop is a figure of so many frames at most, after which it comes so many times, and so many frames, more, with that
share of its frames as they were."""
FIGURES = np.arange(1, LONGEST_FIGURE + 1)
WINDOWS = np.maximum(FEWEST, TIMES * FIGURES)
"""Frames in which a figure comes again, by its length."""
BACK = np.arange(1, WINDOWS[-1] + 1)
WEIGHTS = (WINDOWS[:, None] >= BACK) / WINDOWS[:, None]  # (figures, frames back), a mean over each window
LOOKED_AT = int(WINDOWS[-1] + FIGURES[-1])
"""Latest frames that matter."""
TRIES = 24
"""How often frames of a piece are taken back at most."""

ONLY = np.zeros(1, np.intp)
"""Of a row of pieces the only one."""
KEYS = np.random.default_rng(0).integers(2**62, size=128)


def loop(frames: Roll) -> int:
    """How many of the latest of these frames (frames, n_visible) repeat what was just before them; 0: no loop."""
    latest = frames[-LOOKED_AT:]
    names = latest @ KEYS[: frames.shape[1]]  # one number a frame, by which it is known
    padded = np.concatenate([-FIGURES[:1].repeat(LOOKED_AT - len(latest)), names])
    same = padded[-BACK] == padded[-BACK - FIGURES[:, None]]  # (figures, frames back)
    shares = np.where(len(latest) >= WINDOWS + FIGURES, (same * WEIGHTS).sum(axis=1), 0)
    found = np.flatnonzero(shares >= SHARE)
    return int(WINDOWS[found[0]]) if len(found) else 0


class Draft:
    """Draws one piece after frames that `piece` has heard: `roll` (frames, n_visible) from `start` on.

    A stretch of more than `most_notes` a frame is a cluster.
    """

    def __init__(
        self, maker: PieceMaker, piece: Any, roll: NDArray[np.bool_], start: int, most_notes: float = np.inf
    ) -> None:
        self._maker = maker
        self._most_notes = most_notes
        self._piece = maker.copies(piece, ONLY)
        self._roll = roll
        self._start = self._at = start
        self._marks: deque[tuple[int, Any]] = deque([(start, piece)], LOOKED_AT // STRETCH + 1)
        self._tries = 0

    @property
    def frames_left(self) -> int:
        """Frames that are still to be drawn."""
        return len(self._roll) - self._at

    def go_on(self, drawing: Drawing, seed: int, most: int, *, wary: bool) -> None:
        """Draw frames up to the next look, `most` at a time; `wary`: take them back if they loop or are a cluster."""
        next_look = self._at - self._at % STRETCH + STRETCH
        last = min(self._at + most, next_look, len(self._roll))
        seeds = np.array([stream_of(seed, self._tries) if self._tries else seed], np.uint64)
        drawn, _ = self._maker.generate(self._piece, len(self._roll), drawing, seeds, self._at, last)
        self._roll[self._at : last] = drawn[0]
        self._at = last
        if wary and last == next_look:
            self._look_back()

    def _look_back(self) -> None:
        unwanted = self._unwanted() if self._tries < TRIES else 0
        if unwanted and self._at - unwanted >= self._start:
            self._take_back(self._at - unwanted)
        else:
            self._marks.append((self._at, self._maker.copies(self._piece, ONLY)))

    def _unwanted(self) -> int:
        """How many of the latest frames, drawn or given, are a cluster or a loop."""
        latest = self._roll[max(self._at - LOOKED_AT, 0) : self._at]
        return STRETCH if latest[-STRETCH:].sum() > self._most_notes * STRETCH else loop(latest)

    def _take_back(self, to: int) -> None:
        """Frames from about `to` on, and with each try some more before: from the latest mark there is."""
        to -= self._tries * STRETCH
        self._tries += 1
        while len(self._marks) > 1 and self._marks[-1][0] > to:
            self._marks.pop()
        self._at, before = self._marks[-1]
        self._piece = self._maker.copies(before, ONLY)
