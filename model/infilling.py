"""Filling in a piece around cells that are given, by a particle filter. Free of torch.

Wanted is a sample of the whole piece given those cells. The RNN-RBM says what a frame is like given the frames before
it; a frame drawn from that, with the given units clamped, does not know what is given later. So several particles
(pieces in the making) go side by side (Gordon, Salmond and Smith 1993). At each frame

1. every particle draws the frame from its RBM, given the frame's given cells, and
2. its weight is multiplied by the probability that its past gave to these cells.

Where few of the particles have most of the weight, they are drawn anew by weight: pasts that lead to what is given
go on in several copies, others end. With more and more particles the result is a sample of what is wanted; one
particle alone is the plain chain from left to right. bench/infilling.py compares them.

Frame and probability come from one chain, by annealed importance sampling (Neal 2001). It begins as the free chain, of
as many steps as in generation. Then a given cell that is otherwise costs a penalty, which rises step by step until it
is beyond all bounds; the mean weight of such chains is the probability of the given cells.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.kernel import Frames
from model.parameters import Array
from model.pianoroll import Roll

PARTICLES = 32
"""More bring nothing: around the sopranos of chorales 1 makes pieces of -7.6 nats a frame, 8 of -7.0, 32 and 128 of
-6.7 (bench/infilling.py)."""
BOUNDLESS = 1e30
"""A penalty, in logits, that no weights outdo."""

LogWeights = NDArray[np.float64]
"""(particles,)."""


class Particles(Protocol):
    """Pieces in the making, of which each has a recurrent state."""

    def draw(self, t: int, kept: NDArray[np.bool_], source: NDArray[np.bool_]) -> tuple[Frames, LogWeights]:
        """Frame t of every particle (particles, n_visible), and the log probability of what is given in it.

        kept, source: (n_visible,). Where `kept`, the frame is as `source`.
        """
        ...

    def select(self, chosen: NDArray[np.intp]) -> None:
        """Go on with these particles, (particles,), some of them several times."""
        ...


def penalties(gibbs_steps: int, kept: Roll) -> Array:
    """What a given cell costs while it is otherwise, in logits: (gibbs_steps + 1,), or (0,) if none is given.

    The cost rises as -2 log(1 - s), with even steps from s = 0 to s = 1, as that has weights of low variance: the
    number of cells that are otherwise falls about evenly.
    """
    if not kept.any():
        return np.zeros(0, np.float32)
    share = np.arange(1, gibbs_steps + 1) / (gibbs_steps + 1)
    return np.append(-2 * np.log1p(-share), BOUNDLESS).astype(np.float32)


def fill_in(
    particles: Particles, n: int, source: Roll, kept: Roll, seed: int, before_frame: Callable[[int], None]
) -> Roll:
    """A piece like `source` (frames, n_visible) where `kept` says so, and sampled elsewhere, by `n` particles.

    `before_frame(t)` is called before each frame; what it raises ends the work.

    Raises:
        ValueError: `kept` has not the shape of `source`.
    """
    if kept.shape != source.shape:
        raise ValueError(f"cells of shape {kept.shape} cannot be kept of a piece of shape {source.shape}")
    random = np.random.default_rng(seed)
    frames = np.empty((len(source), n, source.shape[1]), np.bool_)
    parents = np.empty((len(source), n), np.intp)
    log_weights = np.zeros(n)
    for t in range(len(source)):
        before_frame(t)
        parents[t] = np.arange(n)
        if _effective_number(log_weights) < n / 2:
            parents[t] = _drawn_by_weight(log_weights, random)
            particles.select(parents[t])
            log_weights[:] = 0
        frames[t], log_likelihood = particles.draw(t, kept[t], source[t])
        log_weights += log_likelihood
    last = int(random.choice(n, p=_shares(log_weights)))
    return _history(frames, parents, last)


def _shares(log_weights: LogWeights) -> NDArray[np.float64]:
    weights = np.exp(log_weights - log_weights.max())
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _effective_number(log_weights: LogWeights) -> float:
    """How many equally weighted particles are worth as much (Kong 1992)."""
    return 1 / float(np.square(_shares(log_weights)).sum())


def _drawn_by_weight(log_weights: LogWeights, random: np.random.Generator) -> NDArray[np.intp]:
    """Systematic resampling (Kitagawa 1996): each particle n times its share, rounded up or down at random."""
    n = len(log_weights)
    positions = (np.arange(n) + random.random()) / n
    ends = np.cumsum(_shares(log_weights))
    return np.minimum(np.searchsorted(ends, positions, side="right"), n - 1)


def _history(frames: Frames, parents: NDArray[np.intp], last: int) -> Roll:
    """The frames that led to particle `last`."""
    roll = np.empty((len(frames), frames.shape[2]), np.bool_)
    for t in reversed(range(len(frames))):
        roll[t] = frames[t, last]
        last = int(parents[t, last])
    return roll
