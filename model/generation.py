"""Sampling pieces: at each time step the RBM's Gibbs chain draws a frame, which then drives the recurrence.

The plain version, in PyTorch: for GPUs, for machines without the compiled kernel, and as that kernel's oracle.
"""

from collections.abc import Callable, Sequence
from copy import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from model.cores import OnStep
from model.draw_options import DEFAULT, DrawOptions
from model.errors import Stopped
from model.infilling import LogWeights, fill_in, penalties
from model.kernel import Frames
from model.parameters import Array, Parameters
from model.pianoroll import Roll
from model.rbm import bernoulli, gibbs_chain, logistic_noise
from model.recall import Recall, recall_of
from model.rnn_rbm import RnnRbmNetwork


class PlainSampler:
    """Samples on any device that PyTorch has; `model.sampler.Sampler` says what its methods do."""

    kernel = "torch"

    def __init__(self, parameters: Parameters, device: str) -> None:
        self.parameters = parameters
        self.device = device
        self.network = RnnRbmNetwork.from_parameters(parameters).to(device)

    def tutorial_way(self) -> "PlainSampler":
        """See `Sampler`."""
        other = copy(self)  # with the same network
        other.parameters = self.parameters.without_recall()
        return other

    def generate(
        self, length: int, seeds: Sequence[int], options: DrawOptions = DEFAULT, *, primer: Roll | None = None
    ) -> Frames:
        """One piece after another: (pieces, frames of the primer + length, n_visible)."""
        rolls = []
        config = self.parameters.config
        beginning = np.zeros((0, config.n_visible), np.bool_) if primer is None else primer
        heard = recall_of(config, beginning, len(beginning) + length, self.network.W)
        for index, seed in enumerate(seeds):
            ask = _asking(options.on_step, index * length)
            recall = heard.repeated(1) if heard else None
            piece = generate(self.network, length, seed, options, beginning, ask, recall)
            rolls.append(np.concatenate([beginning, piece]))
        return np.stack(rolls)

    def infill(self, source: Roll, kept: Roll, seeds: Sequence[int], options: DrawOptions = DEFAULT) -> Frames:
        """One piece after another: (pieces, frames, n_visible)."""
        rolls = []
        for index, seed in enumerate(seeds):
            own = _PlainParticles(self.network, seed, options)
            ask = _asking(options.on_step, index * len(source))
            rolls.append(fill_in(own, options.particles, source, kept, seed, ask))
        return np.stack(rolls)


def _asking(on_step: OnStep | None, before: int) -> Callable[[int], None]:
    """What to call with the number of a piece's frames that are done, after `before` frames of other pieces."""

    def ask(step: int) -> None:
        if on_step is not None and on_step(before + step):
            raise Stopped

    return ask


@torch.no_grad()
def generate(
    network: RnnRbmNetwork,
    length: int,
    seed: int,
    options: DrawOptions,
    primer: Roll,
    before_frame: Callable[[int], None],
    recall: Recall | None = None,
) -> Frames:
    """The frames that follow a primer (any number, n_visible): (length, n_visible).

    `before_frame(t)` is called before each frame; what it raises ends the work. `recall` has heard the primer.
    """
    device = network.W.device
    generator = torch.Generator(device).manual_seed(seed)
    temperature = options.temperature
    W = network.W / temperature  # (n_visible, n_hidden)
    WT = W.T.contiguous()
    n_visible, n_hidden = W.shape
    roll = torch.zeros(length, n_visible, dtype=torch.bool, device=device)
    u = _state_after(network, primer)
    v, h = W.new_empty(1, n_visible), W.new_empty(1, n_hidden)
    for t in range(length):
        before_frame(t)
        bv_t, bh_t = network.conditional_biases(u)
        if recall:
            bv_t = bv_t + recall.biases()
        bv_t, bh_t = bv_t / temperature, bh_t / temperature
        noise = logistic_noise((options.gibbs_steps, n_hidden + n_visible), generator, W)
        v.zero_()
        for step in noise:
            torch.lt(step[:n_hidden], torch.addmm(bh_t, v, W), out=h)
            torch.lt(step[n_hidden:], torch.addmm(bv_t, h, WT), out=v)
        u = network.next_state(v, u)
        if recall:
            recall.hear(v)
        roll[t] = v[0] > 0
    return roll.cpu().numpy()


def _state_after(network: RnnRbmNetwork, primer: Roll) -> Tensor:
    """The state that frames (frames, n_visible) lead to from the beginning: (1, n_hidden_recurrent)."""
    u = network.initial_state(1)
    for v in torch.from_numpy(primer).to(network.W):
        u = network.next_state(v[None], u)
    return u


class _PlainParticles:
    """See `model.infilling.Particles`."""

    def __init__(self, network: RnnRbmNetwork, seed: int, options: DrawOptions) -> None:
        self._network = network
        self._generator = torch.Generator(network.W.device).manual_seed(seed)
        self._u = network.initial_state(options.particles)  # (particles, n_hidden_recurrent)
        self._options = options

    @torch.no_grad()
    def draw(self, t: int, kept: NDArray[np.bool_], source: NDArray[np.bool_]) -> tuple[Frames, LogWeights]:  # noqa: ARG002
        network, k = self._network, self._options.gibbs_steps
        W, bv_t, bh_t = (x / self._options.temperature for x in (network.W, *network.conditional_biases(self._u)))
        v, log_weights = clamped_chain(W, bv_t, bh_t, kept, source, penalties(k, kept), k, self._generator)
        self._u = network.next_state(v, self._u)
        return v.bool().cpu().numpy(), log_weights.cpu().numpy()

    def select(self, chosen: NDArray[np.intp]) -> None:
        self._u = self._u[torch.from_numpy(chosen).to(self._u.device)]


@torch.no_grad()
def clamped_chain(
    W: Tensor,
    bv: Tensor,
    bh: Tensor,
    kept: NDArray[np.bool_],
    source: NDArray[np.bool_],
    costs: Array,
    k: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Visible units that are as `source` where `kept`, (rows, n_visible), and their log weights (rows,), float64.

    W: (n_visible, n_hidden), bv: (rows, n_visible), bh: (rows, n_hidden), kept and source: (n_visible,). The chains
    start from zeros and go k free steps, then one at each of `costs` (`model.infilling.penalties`). The weights are
    those of annealed importance sampling, with the visible units summed out: their mean is the probability of the
    kept cells.
    """
    v = gibbs_chain(torch.zeros_like(bv), W, bv, bh, k, generator)
    return settled(v, W, bv, bh, kept, source, costs, generator)


def settled(
    v: Tensor,
    W: Tensor,
    bv: Tensor,
    bh: Tensor,
    kept: NDArray[np.bool_],
    source: NDArray[np.bool_],
    costs: Array,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The second part of `clamped_chain`: from v (rows, n_visible), samples of the RBMs, at each of `costs`."""
    given, value = (torch.from_numpy(cells).to(W) for cells in (kept, source))
    direction = given * (2 * value - 1)  # 1: kept and sounding, -1: kept and silent, 0: free
    log_weights = torch.zeros(len(bv), dtype=torch.float64, device=W.device)
    before = 0.0
    for after in costs.tolist():
        logits = bv + bernoulli(bh + v @ W, generator) @ W.T
        otherwise = -direction * logits
        log_weights += (given * (softplus(otherwise - after) - softplus(otherwise - before))).sum(-1)
        v = bernoulli(logits + after * direction, generator)
        before = after
    return torch.where(given > 0, value, v), log_weights
