"""What an RNN-RBM says of the frames of a piece before it hears them: the biases of every frame's RBM.

Free of torch where the compiled kernel is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.kernel import Frames, Kernel
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

    Those of a frame depend on the frames of its piece before it only. Without a kernel PyTorch computes them.
    """
    v = np.concatenate(rolls)
    if kernel is None:
        bv, bh = _plain_biases(parameters, rolls)
    else:
        bv, bh = kernel.conditionals(parameters, v, np.cumsum([0, *map(len, rolls)]))
    return Conditionals(v, parameters.arrays["W"], bv, bh)


def _plain_biases(parameters: Parameters, rolls: Sequence[Roll]) -> tuple[Array, Array]:
    import torch  # noqa: PLC0415 (a second, which the compiled kernel does without)

    from model.rnn_rbm import RnnRbmNetwork  # noqa: PLC0415

    network = RnnRbmNetwork.from_parameters(parameters)
    pieces = [torch.from_numpy(roll).to(network.W)[:, None] for roll in rolls if len(roll)]  # (T_i, 1, n_visible)
    with torch.no_grad():
        bv, bh = zip(*map(network.biases_of, pieces), strict=True)
    return torch.cat(bv)[:, 0].numpy(), torch.cat(bh)[:, 0].numpy()
