"""Training: it learns, it is reproducible, and a resumed run is the uninterrupted one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from model import checkpoint
from model.config import ModelConfig, TrainingConfig
from model.corpus import PackedRolls
from model.errors import CorpusError, TrainingError
from model.kernel import Kernel
from model.rnn_rbm import RnnRbmNetwork
from model.training import TrainingState, initial_state, probe, train

CONFIG = ModelConfig(n_hidden=12, n_hidden_recurrent=8, pitch_range=(60, 72))
TRAINING = TrainingConfig(epochs=3, lr=0.01, batch_size=10, gibbs_steps=3, seed=1)
VARIANTS = [
    TRAINING,
    replace(TRAINING, n_parallel=4, optimizer="adam", schedule="cosine"),
    replace(
        TRAINING,
        n_parallel=3,
        optimizer="adam",
        schedule="cosine",
        pretraining=0.4,
        initialization="scaled",
        input_dropout=0.2,
        clip_norm=1.0,
        chain_start="zeros",
    ),
]


def scale_rolls() -> PackedRolls:
    """Pieces of unequal length that run up and down twelve keys."""
    rolls = []
    for length in (35, 24, 8):
        roll = np.zeros((length, 12), dtype=bool)
        position = np.abs((np.arange(length) % 22) - 11)
        roll[np.arange(length), position] = True
        rolls.append(roll)
    return PackedRolls.pack(rolls, 12)


def fresh(
    config: TrainingConfig = TRAINING, device: torch.device | None = None, kernel: Kernel | None = None
) -> TrainingState:
    network = RnnRbmNetwork(CONFIG, torch.Generator().manual_seed(config.seed)).to(device or "cpu")
    return initial_state(network, config, kernel)


def stop_after(n: int) -> Callable[[], bool]:
    calls = iter(range(10**9))
    return lambda: next(calls) >= n


def parameters(state: TrainingState) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.network.state_dict().items()}


@pytest.mark.parametrize("config", VARIANTS, ids=["tutorial", "adam", "pretrained"])
@pytest.mark.parametrize("n_updates", [1, 3, 5])
def test_a_training_resumed_from_its_checkpoint_equals_an_uninterrupted_one(
    config: TrainingConfig, n_updates: int, kernel: Kernel | None
) -> None:
    whole = fresh(config, kernel=kernel)
    assert train(whole, scale_rolls(), config)

    first = fresh(config, kernel=kernel)
    assert not train(first, scale_rolls(), config, should_stop=stop_after(n_updates))
    second = fresh(config, kernel=kernel)
    checkpoint.restore(second, checkpoint.to_bytes(first))
    assert train(second, scale_rolls(), config)

    for name, value in parameters(whole).items():
        assert torch.equal(value, parameters(second)[name]), name
    timeless = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in second.history]
    assert timeless == [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in whole.history]


def test_the_same_seed_gives_the_same_parameters_and_another_seed_others(kernel: Kernel | None) -> None:
    states = []
    for seed in (1, 1, 2):
        state = fresh(replace(TRAINING, seed=seed), kernel=kernel)
        train(state, scale_rolls(), replace(TRAINING, seed=seed))
        states.append(parameters(state))
    assert torch.equal(states[0]["W"], states[1]["W"])
    assert not torch.equal(states[0]["W"], states[2]["W"])


def test_the_monitor_rises_on_a_pattern_that_can_be_learned(device: torch.device, kernel: Kernel | None) -> None:
    config = replace(TRAINING, epochs=150, lr=0.01, n_parallel=4, optimizer="adam")
    state = fresh(config, device, kernel)
    train(state, scale_rolls(), config)
    monitors = [epoch["monitor"] for epoch in state.history]
    assert monitors[-1] > -2.5  # keys by their frequency alone reach -3.4
    assert monitors[0] < -5
    assert [epoch["epoch"] for epoch in state.history] == list(range(1, 151))


def test_a_small_corpus_is_gone_through_often_enough() -> None:
    config = replace(TRAINING, epochs=1, min_updates=20)
    state = fresh(config)
    assert not train(state, scale_rolls(), config, should_stop=stop_after(19))
    assert state.update == 19
    assert train(state, scale_rolls(), config)
    assert state.epoch == 1


def test_every_frame_counts_the_same_whatever_the_padding(kernel: Kernel | None) -> None:
    """An update on subsequences of unequal length moves bv by the mean over their real frames."""
    short, long = np.ones((2, 12), dtype=bool), np.zeros((8, 12), dtype=bool)
    config = replace(TRAINING, epochs=1, lr=1.0, n_parallel=2, gibbs_steps=1)
    state = fresh(config, kernel=kernel)
    state.network.bv.data.fill_(30.0)  # the chain then turns every key on: v_sample = 1
    train(state, PackedRolls.pack([short, long], 12), config)
    np.testing.assert_allclose(state.network.bv.detach(), 30.0 + (2 / 10 - 1), rtol=1e-5)


def test_an_empty_corpus_is_refused() -> None:
    with pytest.raises(CorpusError, match="nothing to train on"):
        train(fresh(), PackedRolls.pack([np.zeros((0, 12), dtype=bool)], 12), TRAINING)


def test_a_training_that_diverges_says_so() -> None:
    state = fresh()
    state.network.bv.data[0] = torch.nan
    with pytest.raises(TrainingError, match="lower lr"):
        train(state, scale_rolls(), TRAINING)


def test_the_probe_sees_a_chain_that_does_not_mix(kernel: Kernel | None) -> None:
    """An RBM with two far modes: from the data the chain stays where it is, from zeros it finds the wrong one."""
    state = fresh()
    network = state.network
    for parameter in network.parameters():
        parameter.data.zero_()
    network.W.data[:, 0] = 20.0  # all keys together ...
    network.bh.data[0] = -120.0  # ... or none
    network.bv.data.fill_(-10.0)
    piece = PackedRolls.pack([np.ones((10, 12), dtype=bool)], 12)
    assert probe(network, piece, "data", 15, kernel) > -0.1
    assert probe(network, piece, "zeros", 25, kernel) < -50
