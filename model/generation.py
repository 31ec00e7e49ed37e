"""Sampling pieces: at each time step the RBM's Gibbs chain draws a frame, which then drives the recurrence."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from model.rbm import logistic_noise
from model.rnn_rbm import RnnRbmNetwork


class Stopped(Exception):  # noqa: N818 (no error: the caller asked for it)
    """The caller's `on_step` asked for an end."""


@torch.no_grad()
def generate(
    network: RnnRbmNetwork,
    length: int = 200,
    *,
    seed: int,
    gibbs_steps: int = 25,
    temperature: float = 1.0,
    on_step: Callable[[int], bool] | None = None,
) -> NDArray[np.bool_]:
    """One piece of `length` frames, (length, n_visible): the tutorial's sampler, each chain starting from zeros.

    The same network, seed and options give the same piece on one kind of device. `temperature` divides the RBM's
    energy. `on_step(t)` is called before each frame; a true answer ends the work with `Stopped`.
    """
    device = network.W.device
    generator = torch.Generator(device).manual_seed(seed)
    W = network.W / temperature  # (n_visible, n_hidden)
    WT = W.T.contiguous()
    n_visible, n_hidden = W.shape
    roll = torch.zeros(length, n_visible, dtype=torch.bool, device=device)
    u = network.initial_state(1)
    v, h = W.new_empty(1, n_visible), W.new_empty(1, n_hidden)
    for t in range(length):
        if on_step is not None and on_step(t):
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
