"""The likelihood of frames under their RBMs, log p(v_t | v_<t) = -F_t(v_t) - log Z_t, in nats. Free of torch.

log Z_t is estimated by annealed importance sampling, from both sides. A chain goes from f_0, where the weights are
zero and the biases the frame's own, to f_1, the RBM, or back (model/annealing.py has the f_b):

- Forward (Salakhutdinov and Murray 2008): the mean weight is an unbiased estimate of Z_1 / Z_0, and so its logarithm is
  too low on average: log Z is underestimated and the likelihood overestimated.
- Reverse (Burda, Grosse and Salakhutdinov 2015): from f_1 to f_0 the mean weight estimates Z_0 / Z_1. From an exact
  sample of the RBM it would overestimate log Z on average. There is none, so there are two kinds of start.
  From the frame itself: the mean weight is then an unbiased estimate of the probability that the forward chain ends at
  the frame, so the figure is on average below the log-likelihood of that annealing model, which the RBM's own comes
  near to as temperatures are added. From zeros: what a long chain has reached.
  The lower of the two counts.

The truth lies between the two sides if the chains mix, and they come together as temperatures are added. If the chains
miss a part of the distribution altogether, both sides overestimate the likelihood.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.conditionals import Conditionals, conditionals, log_probabilities
from model.errors import ConfigError
from model.kernel import Frames, Kernel, stream_of
from model.parameters import Array, Parameters
from model.pianoroll import Roll

Values = NDArray[np.float64]
"""A figure for each frame, (frames,), in nats unless said otherwise."""

ROWS_A_TASK = 64
MOST_ENUMERATED = 20
"""Hidden units of the largest RBM whose states are enumerated."""
STATES_AT_ONCE = 4096


@dataclass(frozen=True)
class Annealing:
    """How thoroughly partition functions are estimated."""

    temperatures: int = 3000
    """Distributions from f_0 to f_1, both of them included, evenly spaced."""
    chains: int = 1
    """Chains of each frame, for each direction and start."""
    burn_in: int = 1000
    """Gibbs steps of the chain from zeros before the reverse begins."""

    def __post_init__(self) -> None:
        if self.temperatures < 2 or self.chains < 1 or self.burn_in < 1:
            raise ConfigError("annealing takes two temperatures, one chain and one step at least")


PIECE = Annealing(temperatures=50)
"""A rough estimate: for a generated piece, while its user waits."""


class Annealer(Protocol):
    """Runs chains through inverse temperatures."""

    kernel: str

    def anneal(
        self, conditionals: Conditionals, start: Frames, betas: Array, stream: int, first: int = 0
    ) -> tuple[Frames, Values]:
        """Where the chains of all rows end, (rows, n_visible), and the logarithms of their weights, (rows,).

        The chains start at `start` (rows, n_visible) and go through `betas`; model.annealing.anneal says what a weight
        is. Row i takes the random numbers of row `first + i` of the stream.
        """
        ...


def annealer(device: str, kernel: Kernel | None) -> Annealer:
    """The annealer for a device: the compiled kernel for `cpu`, unless it is None."""
    if device == "cpu" and kernel is not None:
        return CompiledAnnealer(kernel)
    from model.annealing import PlainAnnealer  # noqa: PLC0415 (torch takes a second to load)

    return PlainAnnealer(device)


class CompiledAnnealer:
    """Anneals on all cores of the CPU; threads do not change a figure."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.kernel = kernel.name

    def anneal(
        self, conditionals: Conditionals, start: Frames, betas: Array, stream: int, first: int = 0
    ) -> tuple[Frames, Values]:
        """See `Annealer`."""
        tasks = [slice(row, row + ROWS_A_TASK) for row in range(0, len(start), ROWS_A_TASK)]

        def perform(rows: slice) -> tuple[Frames, Values]:
            c = conditionals.take(rows)
            return self._kernel.anneal(c.W, c.bv, c.bh, start[rows], betas, stream, first + rows.start)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            ends, log_weights = zip(*pool.map(perform, tasks), strict=True)
        return np.concatenate(ends), np.concatenate(log_weights)


@dataclass(frozen=True)
class LogLikelihood:
    """Estimates for each frame from the three kinds of chain, in nats: too high on average, and twice too low."""

    forward: Values
    reverse_from_data: Values
    reverse_from_zeros: Values


def log_likelihood(
    annealer: Annealer, conditionals: Conditionals, annealing: Annealing, seed: int, first: int = 0
) -> LogLikelihood:
    """Estimates of log p(v_t | v_<t) of each frame; frame i takes the random numbers of frame `first + i`."""
    return LogLikelihood(
        forward_log_likelihood(annealer, conditionals, annealing, stream_of(seed, 0), first),
        reverse_log_likelihood(annealer, conditionals, annealing, "data", stream_of(seed, 1), first),
        reverse_log_likelihood(annealer, conditionals, annealing, "zeros", stream_of(seed, 2), first),
    )


def forward_log_likelihood(
    annealer: Annealer, conditionals: Conditionals, annealing: Annealing, stream: int, first: int = 0
) -> Values:
    """Estimates from chains that leave the RBM without weights: too high on average."""
    up = np.linspace(0, 1, annealing.temperatures)
    betas = np.concatenate([[0], up])  # from anywhere, a step without weights gives an exact sample to begin with
    start = np.zeros_like(conditionals.v)
    ratio = _log_mean_weight(annealer, conditionals, start, betas, annealing.chains, stream, first)
    return -free_energies(conditionals) - base_log_partition(conditionals) - ratio


def reverse_log_likelihood(
    annealer: Annealer,
    conditionals: Conditionals,
    annealing: Annealing,
    start: Literal["data", "zeros"],
    stream: int,
    first: int = 0,
) -> Values:
    """Estimates from chains that begin as samples of the RBM, as far as those are to be had: too low on average."""
    down = np.linspace(1, 0, annealing.temperatures)
    steps = 1 if start == "data" else annealing.burn_in
    betas = np.concatenate([np.ones(steps), down])
    v = conditionals.v if start == "data" else np.zeros_like(conditionals.v)
    ratio = _log_mean_weight(annealer, conditionals, v, betas, annealing.chains, stream, first)
    return -free_energies(conditionals) - base_log_partition(conditionals) + ratio


def _log_mean_weight(
    annealer: Annealer,
    conditionals: Conditionals,
    start: Frames,
    betas: NDArray[np.float64],
    chains: int,
    stream: int,
    first: int,
) -> Values:
    """Logarithm of the mean weight of each frame's chains."""
    rows = np.repeat(np.arange(len(conditionals)), chains)
    temperatures = betas.astype(np.float32)
    _, log_weights = annealer.anneal(conditionals.take(rows), start[rows], temperatures, stream, first * chains)
    mean: Values = np.logaddexp.reduce(log_weights.reshape(-1, chains), axis=1) - np.log(chains)
    return mean


def piece_log_likelihood(parameters: Parameters, roll: Roll, device: str, kernel: Kernel | None) -> float:
    """Log-likelihood of a piece (frames, n_visible) under a model, a mean over its frames: nats per frame.

    A rough estimate (`PIECE`), always the same for the same piece: the middle between forward and reverse from the
    frames, which are samples of their RBMs if the model drew the piece. By a NADE it is exact.
    """
    compiled = kernel if device == "cpu" else None
    if parameters.config.kind == "lstm-nade":
        return float(log_probabilities(parameters, [roll], compiled).mean())
    c, runner = conditionals(parameters, [roll], compiled), annealer(device, compiled)
    forward = forward_log_likelihood(runner, c, PIECE, stream_of(0))
    reverse = reverse_log_likelihood(runner, c, PIECE, "data", stream_of(1))
    return float(forward.mean() + reverse.mean()) / 2


def free_energies(conditionals: Conditionals) -> Values:
    """F_t(v_t) of each frame, where p(v_t) = exp(-F_t(v_t)) / Z_t."""
    c = conditionals
    visible: Values = np.where(c.v, c.bv, 0).sum(axis=1, dtype=np.float64)
    return -visible - softplus_sums(c.bh + c.v @ c.W)


def base_log_partition(conditionals: Conditionals) -> Values:
    """log Z_0 of each frame's RBM without weights."""
    return softplus_sums(conditionals.bv) + softplus_sums(conditionals.bh)


def softplus_sums(x: NDArray[np.floating[Any]]) -> Values:
    """log(1 + exp(x)), summed over each row: (rows, units) -> (rows,)."""
    terms = np.maximum(x, 0) + np.log(1 + np.exp(-np.abs(x)))  # several times as fast as logaddexp
    sums: Values = terms.sum(axis=1, dtype=np.float64)
    return sums


def exact_log_partition(conditionals: Conditionals) -> Values:
    """log Z_t of each frame by the sum over all states of the hidden units, the visible ones summed out.

    Raises:
        ValueError: there are more than `MOST_ENUMERATED` hidden units.
    """
    c, n_hidden = conditionals, conditionals.W.shape[1]
    if n_hidden > MOST_ENUMERATED:
        raise ValueError(f"{n_hidden} hidden units have too many states to enumerate")
    return np.array([_sum_over_hidden(c.W, bv, bh) for bv, bh in zip(c.bv, c.bh, strict=True)])


def _sum_over_hidden(W: Array, bv: Array, bh: Array) -> float:
    """log sum_h exp(h bh') prod_i (1 + exp(bv_i + (W h')_i))."""
    n_hidden = W.shape[1]
    total = -np.inf
    for first in range(0, 2**n_hidden, STATES_AT_ONCE):
        numbers = np.arange(first, min(first + STATES_AT_ONCE, 2**n_hidden))
        h = (numbers[:, None] >> np.arange(n_hidden) & 1).astype(np.float64)  # (states, n_hidden)
        total = np.logaddexp(total, np.logaddexp.reduce(h @ bh + softplus_sums(bv + h @ W.T)))
    return float(total)
