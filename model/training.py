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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence

from model.config import TrainingConfig
from model.errors import CorpusError, TrainingError
from model.pianoroll import Roll
from model.rbm import contrastive_divergence, gibbs_chain, pseudo_log_likelihood
from model.rnn_rbm import RnnRbmNetwork

PROBE_FRAMES, PROBE_LENGTH = 2000, 200
TUTORIAL_STEPS, GENERATION_STEPS = 15, 25


@dataclass
class TrainingState:
    """Everything that the next update depends on; `update` counts within the epoch."""

    network: RnnRbmNetwork
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    epoch: int = 0
    update: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: {"cost": 0.0, "monitor": 0.0})
    history: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each finished epoch."""


def initial_state(network: RnnRbmNetwork, config: TrainingConfig) -> TrainingState:
    """The state before the first update, with the optimiser and the random numbers that the config asks for."""
    make = torch.optim.SGD if config.optimizer == "sgd" else torch.optim.Adam
    generator = torch.Generator(network.W.device).manual_seed(config.seed)
    if config.initialization == "scaled":
        network.initialize_scaled(generator)
    return TrainingState(network, make(network.parameters(), lr=config.lr), generator)


def train(
    state: TrainingState,
    rolls: Sequence[Roll],
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
    pieces = [torch.from_numpy(np.ascontiguousarray(roll)) for roll in rolls if len(roll)]
    if not pieces:
        raise CorpusError("there is nothing to train on: no piece has a single frame")
    if config.initialization == "scaled" and state.epoch == state.update == 0:
        _set_key_frequencies(state.network, pieces)
    started = time.perf_counter() - state.seconds
    while state.epoch < config.epochs:
        batches = list(_batches(pieces, config, state.epoch))
        for batch in batches[state.update :]:
            if should_stop():
                return False
            _set_learning_rate(state, config, len(batches))
            _update(state, batch, config)
            state.update += 1
            state.seconds = time.perf_counter() - started
        _finish_epoch(state, pieces, len(batches), config)
        on_epoch(state)
    return True


def _batches(pieces: Sequence[Tensor], config: TrainingConfig, epoch: int) -> Iterator[list[Tensor]]:
    """The epoch's updates; the order depends on seed and epoch only, so that a resumed epoch repeats it.

    One at a time: pieces are shuffled and their subsequences follow each other, as in the tutorial.
    Several at a time: the subsequences of all pieces are shuffled.
    """
    order = torch.Generator().manual_seed((config.seed * 1_000_003 + epoch + 1) % 2**63)

    def shuffled(items: Sequence[Tensor]) -> list[Tensor]:
        return [items[i] for i in torch.randperm(len(items), generator=order).tolist()]

    n_updates = 0
    while n_updates < config.min_updates:
        chunks = [chunk for piece in shuffled(pieces) for chunk in torch.split(piece, config.batch_size)]
        if config.n_parallel > 1:
            chunks = shuffled(chunks)
        for i in range(0, len(chunks), config.n_parallel):
            yield chunks[i : i + config.n_parallel]
            n_updates += 1


def _set_key_frequencies(network: RnnRbmNetwork, pieces: Sequence[Tensor]) -> None:
    """bv at the log odds of each key; a key that is never heard counts as heard in one frame."""
    heard = torch.stack([piece.sum(0) for piece in pieces]).sum(0) + 1.0
    n_frames = sum(map(len, pieces)) + 2.0
    network.bv.data = torch.logit(heard / n_frames).to(network.bv)


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


def _update(state: TrainingState, chunks: Sequence[Tensor], config: TrainingConfig) -> None:
    """One update on subsequences (T_i, n_visible) of unequal length; every frame counts the same."""
    network = state.network
    v, frames = _pad(chunks, network.W.device)
    bv_t, bh_t = (biases[frames] for biases in network.biases_of(_dropped(v, config.input_dropout, state.generator)))
    v = v[frames]  # (N, n_visible), and bv_t (N, n_visible), bh_t (N, n_hidden)
    if state.epoch < config.pretraining_epochs:
        cost = binary_cross_entropy_with_logits(bv_t, v, reduction="none").sum(-1).mean()
        monitor = -cost
    else:
        start = v if config.chain_start == "data" else torch.zeros_like(v)
        v_sample = gibbs_chain(start, network.W, bv_t, bh_t, config.gibbs_steps, state.generator)
        cost = contrastive_divergence(v, v_sample, network.W, bv_t, bh_t).mean()
        monitor = pseudo_log_likelihood(v, v_sample, network.W, bv_t, bh_t, state.generator).mean()
    state.optimizer.zero_grad()
    cost.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    if config.clip_norm is not None:
        clip_grad_norm_(network.parameters(), config.clip_norm)
    state.optimizer.step()
    state.sums["cost"] += cost.item()
    state.sums["monitor"] += monitor.item()


def _dropped(v: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """The frames without a random `share` of their notes."""
    if not share:
        return v
    return v * (torch.rand(v.shape, generator=generator, device=v.device) >= share)


def _pad(chunks: Sequence[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Subsequences side by side: v (T, B, n_visible) and which of its frames are real (T, B)."""
    lengths = torch.tensor([len(chunk) for chunk in chunks])
    frames = torch.arange(int(lengths.max()))[:, None] < lengths
    return pad_sequence(list(chunks)).to(device, torch.float32), frames.to(device)


def _finish_epoch(state: TrainingState, pieces: Sequence[Tensor], n_updates: int, config: TrainingConfig) -> None:
    if not all(parameter.isfinite().all() for parameter in state.network.parameters()):
        raise TrainingError(f"training diverged in epoch {state.epoch + 1}: parameters are not finite; lower lr")
    metrics = {name: total / n_updates for name, total in state.sums.items()}
    if config.chain_start == "zeros" and state.epoch >= config.pretraining_epochs:
        metrics["monitor"] = probe(state.network, pieces, "data", TUTORIAL_STEPS)
    metrics["zero_start"] = probe(state.network, pieces, "zeros", GENERATION_STEPS)
    state.epoch += 1
    state.history.append({"epoch": state.epoch, **metrics, "seconds": state.seconds})
    state.update = 0
    state.sums = dict.fromkeys(state.sums, 0.0)


@torch.no_grad()
def probe(network: RnnRbmNetwork, pieces: Sequence[Tensor], start: Literal["data", "zeros"], k: int) -> float:
    """The monitor on about 2,000 frames, from the beginnings of the first pieces, with fixed random numbers.

    With chains of 15 steps from the data it is the tutorial's monitor, which cannot see a chain that does not mix.
    With chains of 25 steps from zeros, as generation runs them, it can. In nats per frame.
    """
    device = network.W.device
    generator = torch.Generator(device).manual_seed(0)
    chunks: list[Tensor] = []
    for piece in pieces:
        chunks.append(piece[:PROBE_LENGTH])
        if sum(map(len, chunks)) >= PROBE_FRAMES:
            break
    v, frames = _pad(chunks, device)
    bv_t, bh_t = (biases[frames] for biases in network.biases_of(v))
    v = v[frames]
    v_sample = gibbs_chain(v if start == "data" else torch.zeros_like(v), network.W, bv_t, bh_t, k, generator)
    return pseudo_log_likelihood(v, v_sample, network.W, bv_t, bh_t, generator).mean().item()
