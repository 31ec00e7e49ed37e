"""The restricted Boltzmann machine: energy, Gibbs chain, contrastive divergence, pseudo-likelihood.

    p(v, h) = exp(v W h' + v bv' + h bh') / Z        v in {0, 1}^n_visible, h in {0, 1}^n_hidden

Shapes: W (n_visible, n_hidden) is shared; the biases bv (..., n_visible) and bh (..., n_hidden) may differ
from row to row, as the RNN-RBM's do from frame to frame, so every function works on all frames at once.
The hidden units are summed out analytically wherever that is possible (Boulanger-Lewandowski et al. 2012, section 2).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


def free_energy(v: Tensor, W: Tensor, bv: Tensor, bh: Tensor) -> Tensor:
    """F(v) with p(v) = exp(-F(v)) / Z, in nats; the last axis is summed: (..., n_visible) -> (...)."""
    return -(v * bv).sum(-1) - softplus(bh + v @ W).sum(-1)


def bernoulli(logits: Tensor, generator: torch.Generator, out: Tensor | None = None) -> Tensor:
    """Zeros and ones with p(1) = sigmoid(logits), as floats of the logits' shape, written to `out` if given."""
    noise = logistic_noise(logits.shape, generator, logits)
    return torch.lt(noise, logits, out=out if out is not None else torch.empty_like(logits))


def logistic_noise(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard logistic numbers: P(noise < x) = sigmoid(x), so comparing them with logits draws Bernoulli units."""
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype).logit_()


@torch.no_grad()
def gibbs_chain(v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """The visible units after k steps v -> h -> v of the Gibbs chain that starts at `v` (..., n_visible).

    All rows advance together as matrix products.
    """
    v = v.expand((v + bv).shape).clone()  # (..., n_visible)
    h = v.new_empty(*v.shape[:-1], W.shape[1])  # (..., n_hidden)
    for _ in range(k):
        bernoulli(bh + v @ W, generator, out=h)
        bernoulli(bv + h @ W.T, generator, out=v)
    return v


def contrastive_divergence(v: Tensor, v_sample: Tensor, W: Tensor, bv: Tensor, bh: Tensor) -> Tensor:
    """CD cost a row, F(v) - F(v_sample): (..., n_visible) -> (...).

    Its gradient is CD-k's (Hinton 2002) because the negative particles `v_sample` are held constant; its value is
    no likelihood and can go up while the model improves.
    """
    return free_energy(v, W, bv, bh) - free_energy(v_sample.detach(), W, bv, bh)


@torch.no_grad()
def pseudo_log_likelihood(
    v: Tensor, v_sample: Tensor, W: Tensor, bv: Tensor, bh: Tensor, generator: torch.Generator
) -> Tensor:
    """The tutorial's monitor a row, in nats: (..., n_visible) -> (...).

    Log-likelihood of `v` under the visible means one step from `v_sample`; a proxy, as a chain that does not mix away
    from its start at the data scores well too. From logits, so finite for any finite weights (the tutorial takes
    log(0) at a saturated unit).
    """
    h = bernoulli(bh + v_sample @ W, generator)
    return -binary_cross_entropy_with_logits(bv + h @ W.T, v, reduction="none").sum(-1)
