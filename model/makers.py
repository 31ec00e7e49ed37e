"""Who hears and draws frames of pieces with a gated recurrence: the compiled kernel, or PyTorch."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.infilling import LogWeights
from model.kernel import Clamp, Drawing, Frames


class PieceMaker(Protocol):
    """Hears and draws frames of pieces, of which it knows the `pieces` that it made itself: one row, or item, each."""

    def begin(self, n: int, room: int) -> Any:
        """`n` pieces of which nothing has been heard, for at most so many frames."""
        ...

    def copies(self, pieces: Any, chosen: NDArray[np.intp]) -> Any:
        """Those pieces, of which some may be chosen several times."""
        ...

    def hear(self, piece: Any, room: int, frames: Frames) -> None:
        """A piece, the only one, goes on by given frames (frames, n_visible)."""
        ...

    def generate(
        self, pieces: Any, room: int, drawing: Drawing, seeds: NDArray[np.uint64], first: int, last: int,
        clamp: Clamp | None = None,
    ) -> tuple[Frames, LogWeights]:  # fmt: skip
        """Frames `first` to `last` of each piece, (pieces, last - first, n_visible), which then have heard them.

        With a clamp, which has as many frames, also the log probability of what is given to each piece, (pieces,).
        """
        ...
