"""Sampling pieces: at each time step the RBM's Gibbs chain draws a frame, which then drives the recurrence.

The plain version, in PyTorch: for GPUs, for machines without the compiled kernel, and as that kernel's oracle.
"""

from collections.abc import Sequence

import numpy as np
import torch

from model.errors import Stopped
from model.kernel import Frames
from model.parameters import Parameters
from model.rbm import logistic_noise
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import OnStep


class PlainSampler:
    """Samples on any device that PyTorch has; `model.sampler.Sampler` says what its methods do."""

    kernel = "torch"

    def __init__(self, parameters: Parameters, device: str) -> None:
        self.parameters = parameters
        self.network = RnnRbmNetwork.from_parameters(parameters).to(device)

    def generate(
        self,
        length: int,
        seeds: Sequence[int],
        *,
        gibbs_steps: int = 25,
        temperature: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Frames:
        """One piece after another: (pieces, length, n_visible)."""
        rolls = []
        for index, seed in enumerate(seeds):

            def ask(step: int, before: int = index * length) -> bool:
                return on_step is not None and on_step(before + step)

            rolls.append(generate(self.network, length, seed, gibbs_steps, temperature, ask))
        return np.stack(rolls)


@torch.no_grad()
def generate(
    network: RnnRbmNetwork, length: int, seed: int, gibbs_steps: int, temperature: float, on_step: OnStep
) -> Frames:
    """One piece (length, n_visible); `on_step(t)` is called before each frame, and a true answer raises `Stopped`."""
    device = network.W.device
    generator = torch.Generator(device).manual_seed(seed)
    W = network.W / temperature  # (n_visible, n_hidden)
    WT = W.T.contiguous()
    n_visible, n_hidden = W.shape
    roll = torch.zeros(length, n_visible, dtype=torch.bool, device=device)
    u = network.initial_state(1)
    v, h = W.new_empty(1, n_visible), W.new_empty(1, n_hidden)
    for t in range(length):
        if on_step(t):
            raise Stopped
        bv_t, bh_t = (bias / temperature for bias in network.conditional_biases(u))
        noise = logistic_noise((gibbs_steps, n_hidden + n_visible), generator, W)
        v.zero_()
        for step in noise:
            torch.lt(step[:n_hidden], torch.addmm(bh_t, v, W), out=h)
            torch.lt(step[n_hidden:], torch.addmm(bv_t, h, WT), out=v)
        u = network.next_state(v, u)
        roll[t] = v[0] > 0
    return roll.cpu().numpy()
