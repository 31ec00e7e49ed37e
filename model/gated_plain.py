"""What a model with a gated recurrence says of whole pieces, by PyTorch: the compiled kernel's oracle and stand-in."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from model.gated import GatedNetwork, context_of
from model.memory import contexts
from model.nade import nade_logits
from model.parameters import Array, Parameters
from model.pianoroll import Roll


def biases(parameters: Parameters, roll: Roll) -> tuple[Array, Array]:
    """bv_t (frames, n_visible) and bh_t (frames, n_hidden) of a piece (frames, n_visible)."""
    _, bv, bh = _biases(GatedNetwork.from_parameters(parameters), roll)
    return bv.numpy(), bh.numpy()


def log_probabilities(parameters: Parameters, roll: Roll) -> NDArray[np.float64]:
    """log p(v_t | v_<t) by NADE of a piece (frames, n_visible): (frames,)."""
    network = GatedNetwork.from_parameters(parameters)
    v, bv, bh = _biases(network, roll)
    with torch.no_grad():
        logits = nade_logits(v, network.W, network.U, bv, bh)
    log_p: NDArray[np.float64] = logsigmoid((2 * v - 1) * logits).double().sum(dim=1).numpy()
    return log_p


@torch.no_grad()
def _biases(network: GatedNetwork, roll: Roll) -> tuple[Tensor, Tensor, Tensor]:
    v = torch.from_numpy(roll).to(network.W)[:, None]  # (frames, 1, n_visible)
    bv, bh, _ = network.biases_of(context_of(*contexts(roll)), v, network.initial_state(1))
    return v[:, 0], bv[:, 0], bh[:, 0]
