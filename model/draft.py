"""A piece while it is drawn: where it has run into a loop, its latest frames are taken back and drawn anew.

What plays alone comes to play one figure over and over, as the memory offers it and the model takes it. Of 64
frames of real pieces (docs/quality.md) at most 5 in 10,000 are such a loop, of free ones up to 10 in 100.
"""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.kernel import Drawing, stream_of
from model.makers import PieceMaker
from model.pianoroll import Roll

WINDOW, STRETCH = 64, 32
"""Frames that may be a loop, and from one look at them to the next; they are taken back with one stretch before."""
PERIOD, SHARE = 16, 0.9
"""Longest figure, and the share of the frames that are as a figure before."""
TRIES = 12
"""How often frames of a piece are taken back at most."""

ONLY = np.zeros(1, np.intp)
"""Of a row of pieces the only one."""


def loops(frames: Roll) -> bool:
    """Whether frames (frames, n_visible) are little else than one figure over and over."""
    bits = np.packbits(frames, axis=1)
    keys = bits.view(np.dtype((np.void, bits.shape[1])))[:, 0]  # one value a frame, which compares as a whole
    return any((keys[period:] == keys[:-period]).mean() >= SHARE for period in range(1, PERIOD + 1))


class Draft:
    """Draws one piece after frames that `piece` has heard: `roll` (frames, n_visible) from `start` on."""

    def __init__(self, maker: PieceMaker, piece: Any, roll: NDArray[np.bool_], start: int) -> None:
        self._maker = maker
        self._piece = maker.copies(piece, ONLY)
        self._roll = roll
        self._start = self._at = start
        self._marks: deque[tuple[int, Any]] = deque([(start, piece)], WINDOW // STRETCH + 1)
        self._tries = 0

    @property
    def frames_left(self) -> int:
        """Frames that are still to be drawn."""
        return len(self._roll) - self._at

    def go_on(self, drawing: Drawing, seed: int, most: int, *, wary: bool) -> None:
        """Draw frames up to the next look, `most` at a time; `wary`: take them back if they loop."""
        next_look = self._at - self._at % STRETCH + STRETCH
        last = min(self._at + most, next_look, len(self._roll))
        seeds = np.array([stream_of(seed, self._tries) if self._tries else seed], np.uint64)
        drawn, _ = self._maker.generate(self._piece, len(self._roll), drawing, seeds, self._at, last)
        self._roll[self._at : last] = drawn[0]
        self._at = last
        if wary and last == next_look:
            self._look_back()

    def _look_back(self) -> None:
        is_new = self._at - self._start >= WINDOW
        if is_new and self._tries < TRIES and loops(self._roll[self._at - WINDOW : self._at]):
            self._tries += 1
            self._at, before = self._marks[0]
            self._marks = deque([(self._at, before)], self._marks.maxlen)
            self._piece = self._maker.copies(before, ONLY)
            return
        self._marks.append((self._at, self._maker.copies(self._piece, ONLY)))
