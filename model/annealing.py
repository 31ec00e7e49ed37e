"""Chains that go from one inverse temperature to the next, in PyTorch: for GPUs, for machines without the compiled
kernel, and as that kernel's oracle.

At the inverse temperature b the weights are multiplied by b and the biases stay as they are:

    f_b(v) = exp(v bv') prod_j (1 + exp(bh_j + b (v W)_j))

b = 1 is the RBM; at b = 0 its units are independent of each other. On an RBM that mixes badly (a static one, of the
frames of Nottingham) 300 temperatures of this path leave 0.4 nats between the estimates from its two ends. With the
hidden biases scaled too, as in the paper of 2008, they are 1.8 nats apart, and 6 from a mean field's means at b = 0.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from model.conditionals import Conditionals
from model.cuda.room import Parts
from model.kernel import Frames, stream_of
from model.parameters import Array
from model.rbm import bernoulli

ROWS_AT_ONCE, ROWS_ON_A_GPU = 8192, 65_536


@torch.no_grad()
def anneal(
    v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, betas: Array, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Where chains that start at `v` end, (rows, n_visible), and the logarithms of their weights, (rows,), float64.

    For each pair of neighbours of `betas`: the weight is multiplied by f_after(v) / f_before(v), and then a Gibbs step
    at `after` moves v (Neal 2001; Salakhutdinov and Murray 2008, with the hidden units summed out).
    """
    log_weights = torch.zeros(len(v), dtype=torch.float64, device=v.device)
    activation = v @ W
    for before, after in pairwise(betas.tolist()):
        log_weights += (softplus(bh + after * activation) - softplus(bh + before * activation)).sum(-1)
        h = bernoulli(bh + after * activation, generator)
        v = bernoulli(bv + after * (h @ W.T), generator)
        activation = v @ W
    return v, log_weights


class PlainAnnealer:
    """Anneals on any device that PyTorch has; `model.likelihood.Annealer` says what it does."""

    kernel = "torch"

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        at_once = ROWS_ON_A_GPU if self._device.type == "cuda" else ROWS_AT_ONCE
        self._parts = Parts(at_once, "frames")

    def anneal(
        self, conditionals: Conditionals, start: Frames, betas: Array, stream: int, first: int = 0
    ) -> tuple[Frames, NDArray[np.float64]]:
        """See `model.likelihood.Annealer`; in smaller parts where the device has no room for that many rows."""

        def perform(rows: slice) -> tuple[Frames, NDArray[np.float64]]:
            seed = stream_of(stream, first + rows.start) >> 1  # PyTorch takes 63 bits
            generator = torch.Generator(self._device).manual_seed(seed)
            c = conditionals.take(rows)
            v, W, bv, bh = (
                torch.from_numpy(array).to(self._device, torch.float32) for array in (start[rows], c.W, c.bv, c.bh)
            )
            end, weights = anneal(v, W, bv, bh, betas, generator)
            return end.bool().cpu().numpy(), weights.cpu().numpy()

        ends, log_weights = zip(*self._parts.over(len(start), perform), strict=True)
        return np.concatenate(ends), np.concatenate(log_weights)
