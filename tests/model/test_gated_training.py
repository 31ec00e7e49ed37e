"""Training of the models with a gated recurrence, with the compiled kernel and without."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.batches import streams
from model.conditionals import log_probabilities
from model.config import ModelConfig, TrainingConfig
from model.corpus import PackedRolls
from model.networks import network_from, new_network
from model.training import TrainingState, initial_state, keeping, train
from model.training_set import split
from tests.model.conftest import WAYS, Way, name_of

CONFIG = ModelConfig(
    kind="lstm-nade", n_hidden=12, n_hidden_recurrent=16, n_channels=16, pitch_range=(60, 72), dt=None, steps_per_beat=1
)
TRAINING = TrainingConfig(
    epochs=3, lr=0.01, batch_size=10, n_parallel=3, gibbs_steps=3, optimizer="adam", schedule="cosine", average=0.9,
    input_dropout=0.1, channel_dropout=0.1, state_dropout=0.1, rbm_pretraining=3, clip_norm=5.0, transpose=2, slips=0.1,
    validation=0.2,
)  # fmt: skip
KINDS = ["lstm-nade", "lstm-rbm"]


def tunes(n: int = 12, seed: int = 0) -> PackedRolls:
    """Pieces of two voices in parallel thirds, each a theme of four frames that comes again and again."""
    random = np.random.default_rng(seed)
    rolls = []
    for _ in range(n):
        theme = random.integers(3, 7, 4)
        roll = np.zeros((int(random.integers(16, 40)), 12), np.bool_)
        times = np.arange(len(roll))
        roll[times, theme[times % 4]] = roll[times, theme[times % 4] + 3] = True
        rolls.append(roll)
    return PackedRolls.pack(rolls, 12)


def state_of(config: ModelConfig, way: Way, training: TrainingConfig = TRAINING) -> TrainingState:
    return initial_state(new_network(config, 0).to(way.device), training, way.kernel)


@pytest.mark.parametrize(
    ("way", "kind", "channels"),
    [(way, kind, 16 * ((i + j) % 2)) for i, way in enumerate(WAYS) for j, kind in enumerate(KINDS)],
    ids=lambda value: name_of(value) if isinstance(value, Way) else str(value),
)
def test_it_learns(way: Way, kind: str, channels: int) -> None:
    """Every way with both kinds, and with and without a memory; both kinds with and without one."""
    config = replace(CONFIG, kind=kind, n_channels=channels)  # type: ignore[arg-type]
    training = replace(TRAINING, epochs=5, min_updates=40, transpose=0)
    state = state_of(config, way, training)
    assert train(state, tunes(), training)
    scores = [metrics["validation"] for metrics in state.history]
    assert state.metrics["validation"] == max(scores)
    assert max(scores) > (-1 if channels else -4.5)  # with a memory the theme is known when it comes again


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_equals_an_uninterrupted_one_to_the_bit(kind: str, way: Way) -> None:
    from model import checkpoint

    config = replace(CONFIG, kind=kind)  # type: ignore[arg-type]
    whole = state_of(config, way)
    assert train(whole, tunes(), TRAINING)
    calls = iter(range(1000))
    first = state_of(config, way)
    while not train(first, tunes(), TRAINING, should_stop=lambda: next(calls) % 7 == 6):
        data = checkpoint.to_bytes(first)
        first = state_of(config, way)
        checkpoint.restore(first, data)
    for name, value in whole.network.named_parameters():
        assert torch.equal(value, dict(first.network.named_parameters())[name]), name
    assert [{**m, "seconds": 0} for m in whole.history] == [{**m, "seconds": 0} for m in first.history]


def test_noise_is_not_predicted_better_than_its_entropy(way: Way) -> None:
    random = np.random.default_rng(0)
    rolls = PackedRolls.pack((random.random((40, 12)) < 0.3 for _ in range(20)), 12)
    training = replace(TRAINING, epochs=6, transpose=0)
    state = state_of(CONFIG, way, training)
    train(state, rolls, training)
    unheard = [random.random((200, 12)) < 0.3 for _ in range(10)]
    with keeping(state) as network:
        log_p = log_probabilities(network.to_parameters(), unheard, way.kernel)
    entropy = -12 * (0.3 * np.log(0.3) + 0.7 * np.log(0.7))
    assert -log_p.mean() > entropy - 3 * log_p.std() / np.sqrt(len(log_p))
    assert -log_p.mean() < 1.1 * entropy


def test_the_streams_of_an_epoch_hold_every_frame_and_go_on_from_update_to_update() -> None:
    training = split(tunes(), replace(TRAINING, validation=0))
    batches = streams(training, TRAINING, 1)
    heard = set()
    for row in range(TRAINING.n_parallel):
        before = None
        for batch in batches:
            assert sum(excerpt.stop - excerpt.start for excerpt in batch[row]) == TRAINING.batch_size
            for excerpt in batch[row]:
                heard |= {(excerpt.piece, t) for t in range(excerpt.start, excerpt.stop)}
                assert excerpt.start in (excerpt.begin, before)
                before = excerpt.stop if excerpt.stop < training.lengths[excerpt.piece] else 0
    assert heard == {(piece, t) for piece, n in enumerate(training.lengths.tolist()) for t in range(n)}


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_make_the_network_again(kind: str) -> None:
    config = replace(CONFIG, kind=kind)  # type: ignore[arg-type]
    network = new_network(config, 3)
    again = network_from(network.to_parameters())
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )
