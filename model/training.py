"""Learning the parameters by contrastive divergence, in updates that can be stopped and resumed to the bit.

The tutorial's recipe: the corpus is cut into subsequences of `batch_size` frames, each update takes one of them,
CD-15 gives the gradient of every frame's RBM, and back-propagation through time carries it to the recurrence.

Beyond it, what it takes for the model to be sampled by 25 Gibbs steps from zeros (docs/adr/0006):
the recurrence learns first to predict frames by cross-entropy, so that the biases and not the chain carry most of a
frame; the negative chains start at zeros, as in generation; and the recurrence misses some notes of its input, so that
it is at home on pieces with slips, its own among them.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from model.config import TrainingConfig
from model.corpus import PackedRolls
from model.errors import CorpusError, TrainingError
from model.gradients import Gradients, Position, gradients, pad
from model.kernel import Kernel, stream_of
from model.pianoroll import Roll
from model.rbm import gibbs_chain, pseudo_log_likelihood
from model.rnn_rbm import RnnRbmNetwork

PROBE_FRAMES, PROBE_LENGTH = 2000, 200
TUTORIAL_STEPS, GENERATION_STEPS = 15, 25


@dataclass
class TrainingState:
    """Everything that the next update depends on; `update` counts within the epoch."""

    network: RnnRbmNetwork
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    """PyTorch's random numbers; the compiled kernel counts its own."""
    kernel: Kernel | None = None
    """What computes the gradients of a network on the CPU; None: PyTorch."""
    epoch: int = 0
    update: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: {"cost": 0.0, "monitor": 0.0})
    history: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each finished epoch."""


def initial_state(network: RnnRbmNetwork, config: TrainingConfig, kernel: Kernel | None = None) -> TrainingState:
    """The state before the first update, with the optimiser and the random numbers that the config asks for."""
    make = torch.optim.SGD if config.optimizer == "sgd" else torch.optim.Adam
    generator = torch.Generator(network.W.device).manual_seed(config.seed)
    if config.initialization == "scaled":
        network.initialize_scaled(generator)
    usable = kernel if network.W.device.type == "cpu" else None
    return TrainingState(network, make(network.parameters(), lr=config.lr, fused=True), generator, usable)


def train(
    state: TrainingState,
    rolls: PackedRolls,
    config: TrainingConfig,
    *,
    on_epoch: Callable[[TrainingState], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train `state` in place until `config.epochs` are done; whether they are (False: `should_stop` said so).

    `on_epoch` is called after each epoch, `should_stop` before each update. A stopped state goes on where it was.

    Raises:
        CorpusError: no frame to learn from.
        TrainingError: a parameter is no longer finite.
    """
    if not rolls.n_frames:
        raise CorpusError("there is nothing to train on: no piece has a single frame")
    if config.initialization == "scaled" and state.epoch == state.update == 0:
        _set_key_frequencies(state.network, rolls)
    started = time.perf_counter() - state.seconds
    with gradients(state.network, state.generator, state.kernel, config) as compute:
        while state.epoch < config.epochs:
            batches = list(_batches(rolls.lengths.tolist(), config, state.epoch))
            for batch in batches[state.update :]:
                if should_stop():
                    return False
                _set_learning_rate(state, config, len(batches))
                _update(state, [rolls.frames(*subsequence) for subsequence in batch], config, compute)
                state.update += 1
                state.seconds = time.perf_counter() - started
            _finish_epoch(state, rolls, len(batches), config)
            on_epoch(state)
    return True


Subsequence = tuple[int, int, int]
"""Frames `start` to `stop` of piece `piece`: (piece, start, stop)."""


def _batches(lengths: list[int], config: TrainingConfig, epoch: int) -> Iterator[list[Subsequence]]:
    """The epoch's updates; the order depends on seed and epoch only, so that a resumed epoch repeats it.

    One at a time: pieces are shuffled and their subsequences follow each other, as in the tutorial.
    Several at a time: the subsequences of all pieces are shuffled.
    """
    order = np.random.default_rng((config.seed, epoch))
    size = config.batch_size
    n_updates = 0
    while n_updates < config.min_updates:
        chunks = [
            (piece, start, min(start + size, lengths[piece]))
            for piece in order.permutation(len(lengths)).tolist()
            for start in range(0, lengths[piece], size)
        ]
        if config.n_parallel > 1:
            chunks = [chunks[i] for i in order.permutation(len(chunks)).tolist()]
        for i in range(0, len(chunks), config.n_parallel):
            yield chunks[i : i + config.n_parallel]
            n_updates += 1


def _set_key_frequencies(network: RnnRbmNetwork, rolls: PackedRolls) -> None:
    """bv at the log odds of each key; a key that is never heard counts as heard in one frame."""
    heard = torch.from_numpy(rolls.notes_by_key()) + 1.0
    network.bv.data = torch.logit(heard / (rolls.n_frames + 2.0)).to(network.bv)


def _set_learning_rate(state: TrainingState, config: TrainingConfig, n_updates: int) -> None:
    """Warm-up over 5% of a stage's updates, then half a cosine down to 1% of the rate."""
    if config.schedule == "constant":
        return
    first = config.pretraining_epochs
    begin, end = (0, first) if state.epoch < first else (first, config.epochs)
    done = ((state.epoch - begin) * n_updates + state.update) / ((end - begin) * n_updates)
    factor = min(1.0, (done + 1 / n_updates) / 0.05) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
    for group in state.optimizer.param_groups:
        group["lr"] = config.lr * factor


def _update(state: TrainingState, chunks: list[Roll], config: TrainingConfig, compute: Gradients) -> None:
    """One update on subsequences (T_i, n_visible) of unequal length."""
    cost, monitor = compute(chunks, Position(state.epoch, state.update))
    if config.clip_norm is not None:
        clip_grad_norm_(state.network.parameters(), config.clip_norm)
    state.optimizer.step()
    state.sums["cost"] += cost
    state.sums["monitor"] += monitor


def _finish_epoch(state: TrainingState, rolls: PackedRolls, n_updates: int, config: TrainingConfig) -> None:
    if not all(parameter.isfinite().all() for parameter in state.network.parameters()):
        raise TrainingError(f"training diverged in epoch {state.epoch + 1}: parameters are not finite; lower lr")
    metrics = {name: total / n_updates for name, total in state.sums.items()}
    if config.chain_start == "zeros" and state.epoch >= config.pretraining_epochs:
        metrics["monitor"] = probe(state.network, rolls, "data", TUTORIAL_STEPS, state.kernel)
    metrics["zero_start"] = probe(state.network, rolls, "zeros", GENERATION_STEPS, state.kernel)
    state.epoch += 1
    state.history.append({"epoch": state.epoch, **metrics, "seconds": state.seconds})
    state.update = 0
    state.sums = dict.fromkeys(state.sums, 0.0)


@torch.no_grad()
def probe(
    network: RnnRbmNetwork, rolls: PackedRolls, start: Literal["data", "zeros"], k: int, kernel: Kernel | None = None
) -> float:
    """The monitor on about 2,000 frames, from the beginnings of pieces all over the corpus, with fixed random numbers.

    With chains of 15 steps from the data it is the tutorial's monitor, which cannot see a chain that does not mix.
    With chains of 25 steps from zeros, as generation runs them, it can. In nats per frame.
    """
    device = network.W.device
    generator = torch.Generator(device).manual_seed(0)
    v, frames = pad(_beginnings(rolls), device)
    bv_t, bh_t = (biases[frames] for biases in network.biases_of(v))
    v = v[frames]  # (N, n_visible)
    first = v if start == "data" else torch.zeros_like(v)
    if kernel is None:
        v_sample = gibbs_chain(first, network.W, bv_t, bh_t, k, generator)
    else:
        sample = kernel.chains(
            network.to_parameters(), first.bool().numpy(), bv_t.numpy(), bh_t.numpy(), k, stream_of(0)
        )
        v_sample = torch.from_numpy(sample).to(v)
    return pseudo_log_likelihood(v, v_sample, network.W, bv_t, bh_t, generator).mean().item()


def _beginnings(rolls: PackedRolls) -> list[Roll]:
    """What a probe hears."""
    order = np.random.default_rng(0).permutation(len(rolls)).tolist()
    found: list[Roll] = []
    n_frames = 0
    for piece in order:
        found.append(rolls.frames(piece, 0, PROBE_LENGTH))
        n_frames += len(found[-1])
        if n_frames >= PROBE_FRAMES:
            break
    return found
