"""What a model says of the frames of a piece before it hears them: the biases of every frame's RBM, or by a NADE
their probabilities.

Free of torch, but for a gated recurrence where there is no compiled kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.kernel import Frames, Kernel
from model.kernel.gated import GatedPieces
from model.parameters import Array, Parameters
from model.pianoroll import Roll


@dataclass(frozen=True)
class Conditionals:
    """Frames and the RBM that each was to be drawn from, p(v_t | v_<t) = RBM(W, bv_t, bh_t): one row a frame."""

    v: Frames
    """(frames, n_visible)."""
    W: Array
    """(n_visible, n_hidden), the same for all frames."""
    bv: Array
    """(frames, n_visible)."""
    bh: Array
    """(frames, n_hidden)."""

    def __len__(self) -> int:
        return len(self.v)

    def take(self, rows: slice | NDArray[Any]) -> "Conditionals":
        """Those rows."""
        return replace(self, v=self.v[rows], bv=self.bv[rows], bh=self.bh[rows])


def conditionals(parameters: Parameters, rolls: Sequence[Roll], kernel: Kernel | None) -> Conditionals:
    """The conditionals of all frames of some pieces (T_i, n_visible), one piece after another.

    Those of a frame depend on the frames of its piece before it only. NumPy computes them where there is no kernel, and
    from a first state that was learned, as the kernel begins from 0; of a gated recurrence, PyTorch.
    """
    v = np.concatenate(rolls)
    if parameters.config.kind != "rnn-rbm":
        bv, bh = _gated_biases(parameters, rolls, kernel)
    elif kernel is None or parameters.config.learn_u0:
        bv, bh = _plain_biases(parameters, rolls)
    else:
        bv, bh = kernel.conditionals(parameters, v, np.cumsum([0, *map(len, rolls)]))
    return Conditionals(v, parameters.arrays["W"], bv, bh)


def log_probabilities(parameters: Parameters, rolls: Sequence[Roll], kernel: Kernel | None) -> NDArray[np.float64]:
    """log p(v_t | v_<t) by a NADE of all frames of some pieces (T_i, n_visible), one piece after another: exact."""
    if kernel is not None:
        pieces = GatedPieces(parameters, kernel)
        return np.concatenate([pieces.log_probabilities(roll) for roll in rolls])
    from model import gated_plain  # noqa: PLC0415 (torch takes a second to load)

    return np.concatenate([gated_plain.log_probabilities(parameters, roll) for roll in rolls])


def _gated_biases(parameters: Parameters, rolls: Sequence[Roll], kernel: Kernel | None) -> tuple[Array, Array]:
    if kernel is not None:
        pieces = GatedPieces(parameters, kernel)
        bv, bh = zip(*map(pieces.biases, rolls), strict=True)
    else:
        from model import gated_plain  # noqa: PLC0415 (torch takes a second to load)

        bv, bh = zip(*(gated_plain.biases(parameters, roll) for roll in rolls), strict=True)
    return np.concatenate(bv), np.concatenate(bh)


def _plain_biases(parameters: Parameters, rolls: Sequence[Roll]) -> tuple[Array, Array]:
    u: Array = np.concatenate([parameters.states(roll)[: len(roll)] for roll in rolls])  # u_{t-1} of each frame
    arrays = parameters.arrays
    bv: Array = arrays["bv"] + u @ arrays["Wuv"]
    bh: Array = arrays["bh"] + u @ arrays["Wuh"]
    return bv, bh
