"""The RBM alone, before all else, on frames in no order: so that its hidden units know chords before they are moved.

Persistent contrastive divergence (Tieleman 2008): the chains of the negative phase go on from update to update.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from model.config import TrainingConfig
from model.kernel import Frames, Kernel, stream_of
from model.rbm import gibbs_chain
from model.training_set import TrainingSet

CHAINS, STEPS = 256, 5
FRAMES = 256
"""Of each update."""
LEARNING_RATE = 0.01
"""Of the first update; it falls to 0 along half a cosine."""


class HasRbm(Protocol):
    """A network with the parameters of an RBM."""

    W: nn.Parameter
    bv: nn.Parameter
    bh: nn.Parameter


def pretrain_rbm(
    network: HasRbm,
    training: TrainingSet,
    config: TrainingConfig,
    kernel: Kernel | None,
    should_stop: Callable[[], bool],
) -> bool:
    """Make `config.rbm_pretraining` updates of W, bv and bh; False if it was stopped.

    The network is as before until all are made, so what an interrupted training has saved in the meantime begins again,
    and the same numbers come out.
    """
    if not config.rbm_pretraining:
        return True
    theirs = (network.W, network.bv, network.bh)
    own = [nn.Parameter(parameter.detach().clone()) for parameter in theirs]
    rbm = _Rbm(*own)
    optimizer = torch.optim.Adam(own, lr=LEARNING_RATE, fused=True)
    random = np.random.default_rng((config.seed, 3))
    negative = _Negative(rbm, kernel, training.draw(CHAINS, random), config.seed)
    for update in range(config.rbm_pretraining):
        if should_stop():
            return False
        v = torch.from_numpy(training.draw(FRAMES, random)).to(rbm.W)  # (FRAMES, n_visible)
        _set_gradients(rbm, v, negative.advance(update))
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * update / config.rbm_pretraining)) / 2
        optimizer.step()
    for parameter, value in zip(theirs, own, strict=True):
        parameter.data.copy_(value.data)
    return True


@dataclass
class _Rbm:
    """Parameters that no checkpoint sees."""

    W: nn.Parameter
    bv: nn.Parameter
    bh: nn.Parameter


class _Negative:
    """The persistent chains, (CHAINS, n_visible)."""

    def __init__(self, network: HasRbm, kernel: Kernel | None, start: Frames, seed: int) -> None:
        self._network = network
        self._kernel = kernel
        self._v = start
        self._seed = seed

    @torch.no_grad()
    def advance(self, update: int) -> Tensor:
        """Where they are after a few more steps."""
        network, stream = self._network, stream_of(self._seed, -1, update)  # before epoch 0
        bv, bh = (bias.expand(CHAINS, -1) for bias in (network.bv, network.bh))
        if self._kernel is not None:
            chains = self._kernel.chains
            self._v = chains(network.W.numpy(), self._v, bv.numpy(), bh.numpy(), STEPS, stream)
            return torch.from_numpy(self._v).to(network.W)
        generator = torch.Generator(network.W.device).manual_seed(stream >> 1)  # PyTorch takes 63 bits
        v = gibbs_chain(torch.from_numpy(self._v).to(network.W), network.W, bv, bh, STEPS, generator)
        self._v = v.bool().cpu().numpy()
        return v


@torch.no_grad()
def _set_gradients(network: HasRbm, v: Tensor, v_sample: Tensor) -> None:
    """The gradient of the mean free energy of `v` less that of `v_sample`, each (rows, n_visible)."""
    h, h_sample = (torch.sigmoid(network.bh + rows @ network.W) for rows in (v, v_sample))
    network.W.grad = v_sample.T @ h_sample / len(v_sample) - v.T @ h / len(v)
    network.bv.grad = v_sample.mean(0) - v.mean(0)
    network.bh.grad = h_sample.mean(0) - h.mean(0)
