"""The gradient of one update, in the parameters' `grad`: by PyTorch's differentiation, or by the compiled kernel.

`gradients` chooses. The plain version is the kernel's oracle, and the one that runs on a GPU.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from model.batches import Batch
from model.config import TrainingConfig
from model.kernel import Kernel, Update, stream_of
from model.parameters import Array, Parameters, shapes
from model.pianoroll import Roll
from model.rbm import contrastive_divergence, gibbs_chain, pseudo_log_likelihood
from model.rnn_rbm import RnnRbmNetwork

SEQUENCES_A_SHARD = 8
"""Subsequences whose gradients are summed by one call of the kernel. The same for any number of threads, so that
the sums, and with them the parameters, are the same too."""

RBM_ONLY = ("W", "bh", "Wuh")
"""Parameters that the cross-entropy of bv_t does not depend on."""


class Position(NamedTuple):
    """Which update of a training it is."""

    epoch: int
    update: int


Gradients = Callable[[Batch, Position], tuple[float, float]]
"""Takes what one update takes; cost and monitor, like the gradients means over all frames."""


@contextmanager
def gradients(
    network: RnnRbmNetwork, generator: torch.Generator, kernel: Kernel | None, config: TrainingConfig
) -> "Iterator[PlainGradients | CompiledGradients]":
    """What computes the gradients of a training, for as long as it lasts; the kernel has none of u0."""
    if kernel is None or network.config.learn_u0:
        yield PlainGradients(network, generator, config)
        return
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what is left to it is small, and its threads would take cores from the kernel's
    try:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            yield CompiledGradients(network, kernel, config, pool)
    finally:
        torch.set_num_threads(n_threads)


class PlainGradients:
    """By automatic differentiation, with one Gibbs chain over all frames."""

    def __init__(self, network: RnnRbmNetwork, generator: torch.Generator, config: TrainingConfig) -> None:
        self._network = network
        self._generator = generator
        self._config = config

    def __call__(self, chunks: Sequence[Roll], position: Position) -> tuple[float, float]:
        """See `Gradients`; takes subsequences (T_i, n_visible) of unequal length."""
        network, config, generator = self._network, self._config, self._generator
        v, frames = pad(chunks, network.W.device)
        bv_t, bh_t = (biases[frames] for biases in network.biases_of(self._dropped(v)))
        v = v[frames]  # (N, n_visible), and bv_t (N, n_visible), bh_t (N, n_hidden)
        if position.epoch < config.pretraining_epochs:
            cost = binary_cross_entropy_with_logits(bv_t, v, reduction="none").sum(-1).mean()
            monitor = -cost
        else:
            start = v if config.chain_start == "data" else torch.zeros_like(v)
            v_sample = gibbs_chain(start, network.W, bv_t, bh_t, config.gibbs_steps, generator)
            cost = contrastive_divergence(v, v_sample, network.W, bv_t, bh_t).mean()
            monitor = pseudo_log_likelihood(v, v_sample, network.W, bv_t, bh_t, generator).mean()
        network.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return cost.item(), monitor.item()

    def _dropped(self, v: Tensor) -> Tensor:
        """The frames without a random share of their notes."""
        share = self._config.input_dropout
        if not share:
            return v
        return v * (torch.rand(v.shape, generator=self._generator, device=v.device) >= share)


class CompiledGradients:
    """By the compiled kernel, on all cores where there are subsequences enough."""

    def __init__(
        self, network: RnnRbmNetwork, kernel: Kernel, config: TrainingConfig, pool: ThreadPoolExecutor
    ) -> None:
        self._network = network
        self._parameters = network.to_parameters()
        self._kernel = kernel
        self._config = config
        self._pool = pool
        self._shards: list[_Shard] = [self._new_shard()]
        self._untouched: tuple[str, ...] | None = None

    def __call__(self, chunks: Sequence[Roll], position: Position) -> tuple[float, float]:
        """See `Gradients`; takes subsequences (T_i, n_visible) of unequal length."""
        n_groups = -(-len(chunks) // SEQUENCES_A_SHARD)
        groups = [sorted(chunks, key=len)[i::n_groups] for i in range(n_groups)]  # of nearly equal length
        while len(self._shards) < len(groups):
            self._shards.append(self._new_shard())
        starts = [0, *accumulate(sum(map(len, group)) for group in groups)]
        how = self._how(position, starts[-1])
        self._attach(() if how.gibbs_steps else RBM_ONLY)
        perform = self._pool.map if len(groups) > 1 else map
        sums = list(perform(lambda i: self._shards[i].compute(how, groups[i], starts[i]), range(len(groups))))
        for shard in self._shards[1 : len(groups)]:
            self._shards[0].flat += shard.flat
        cost, monitor = (sum(column) / starts[-1] for column in zip(*sums, strict=True))
        return cost, monitor

    def _how(self, position: Position, n_frames: int) -> Update:
        config = self._config
        steps = 0 if position.epoch < config.pretraining_epochs else config.gibbs_steps
        stream = stream_of(config.seed, *position)
        return Update(steps, config.chain_start == "zeros", config.input_dropout, 1 / n_frames, stream)

    def _attach(self, untouched: tuple[str, ...]) -> None:
        """Let the network's parameters have the sums as `grad`; None where there is no gradient, so that an optimiser
        does not count the update."""
        if untouched == self._untouched:
            return
        for name, view in self._shards[0].views.items():
            getattr(self._network, name).grad = None if name in untouched else torch.from_numpy(view)
        self._untouched = untouched

    def _new_shard(self) -> "_Shard":
        return _Shard(self._kernel, self._parameters)


class _Shard:
    """A gradient of its own, in one piece of memory."""

    def __init__(self, kernel: Kernel, parameters: Parameters) -> None:
        sizes = {name: int(np.prod(shape)) for name, shape in shapes(parameters.config).items()}
        self.flat: Array = np.zeros(sum(sizes.values()), np.float32)
        parts = np.split(self.flat, np.cumsum(list(sizes.values()))[:-1])
        self.views = {
            name: part.reshape(shape)
            for (name, shape), part in zip(shapes(parameters.config).items(), parts, strict=True)
        }
        self._bound = kernel.bind_gradient(parameters, Parameters(parameters.config, self.views))

    def compute(self, how: Update, chunks: Sequence[Roll], first: int) -> tuple[float, float]:
        """Sums of cost and monitor over these subsequences, which begin at frame `first` of the update."""
        frames = chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
        starts = np.array(list(accumulate(map(len, chunks), initial=first)), np.int64)
        return self._bound(how, frames, starts)


def pad(chunks: Sequence[Roll], device: torch.device) -> tuple[Tensor, Tensor]:
    """Subsequences side by side: v (T, B, n_visible) and which of its frames are real (T, B)."""
    lengths = torch.tensor([len(chunk) for chunk in chunks])
    frames = torch.arange(int(lengths.max()))[:, None] < lengths
    padded = pad_sequence([torch.from_numpy(chunk) for chunk in chunks])
    return padded.to(device, torch.float32), frames.to(device)
