"""Trainings by whole updates, as a GPU does them, and ones that go on elsewhere; on the CPU with the plain chain."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from model.config import TrainingConfig
from model.cuda.chains import PlainChains
from model.kernel import best
from model.rnn_rbm import RnnRbmNetwork
from model.training import TrainingState, initial_state, train
from tests.model.test_training import CONFIG, NAMES, TRAINING, VARIANTS, parameters, scale_rolls, stop_after


def fresh(config: TrainingConfig, device: torch.device) -> TrainingState:
    network = RnnRbmNetwork(CONFIG, torch.Generator().manual_seed(config.seed)).to(device)
    return initial_state(network, config, chains=PlainChains())


def by_the_kernel(config: TrainingConfig) -> TrainingState:
    return initial_state(RnnRbmNetwork(CONFIG, torch.Generator().manual_seed(config.seed)), config, best())


@pytest.mark.parametrize("config", VARIANTS, ids=NAMES)
def test_a_training_resumed_from_its_checkpoint_equals_an_uninterrupted_one(
    config: TrainingConfig, device: torch.device
) -> None:
    from model import checkpoint

    whole = fresh(config, device)
    assert train(whole, scale_rolls(), config)
    first = fresh(config, device)
    assert not train(first, scale_rolls(), config, should_stop=stop_after(3))
    second = fresh(config, device)
    checkpoint.restore(second, checkpoint.to_bytes(first))
    assert train(second, scale_rolls(), config)
    for name, value in parameters(whole).items():
        assert torch.equal(value, parameters(second)[name]), name
    assert [row["zero_start"] for row in whole.history] == [row["zero_start"] for row in second.history]


@pytest.mark.parametrize("config", VARIANTS, ids=NAMES)
def test_a_training_goes_on_on_the_cpu_and_comes_back(config: TrainingConfig, device: torch.device) -> None:
    from model import checkpoint

    states = [fresh(config, device), by_the_kernel(config), fresh(config, device)]
    for before, after in pairwise(states):
        assert not train(before, scale_rolls(), config, should_stop=stop_after(2))
        checkpoint.restore(after, checkpoint.to_bytes(before))
        assert (after.epoch, after.update) == (before.epoch, before.update)
        for name, value in parameters(before).items():
            assert torch.equal(value.cpu(), parameters(after)[name].cpu()), name
    assert train(states[-1], scale_rolls(), config)
    assert [row["epoch"] for row in states[-1].history] == [1, 2, 3]
    assert all(np.isfinite(row["cost"]) for row in states[-1].history)


def test_random_numbers_of_another_kind_of_device_are_not_gone_on_with() -> None:
    """A state of 16 bytes, as CUDA's generators have; those of the CPU have 5,056."""
    from safetensors.torch import load, save

    from model import checkpoint
    from model.artefact import metadata

    config = replace(TRAINING, epochs=2)
    before, after = (initial_state(RnnRbmNetwork(CONFIG), config) for _ in range(2))
    train(before, scale_rolls(), config, should_stop=stop_after(2))
    data = checkpoint.to_bytes(before)
    tensors = load(data) | {"generator": torch.zeros(16, dtype=torch.uint8)}
    checkpoint.restore(after, save(tensors, metadata=metadata(data)))
    assert train(after, scale_rolls(), config)


def test_the_monitor_rises_on_a_pattern_that_can_be_learned(device: torch.device) -> None:
    config = replace(TRAINING, epochs=150, n_parallel=4, optimizer="adam")
    state = fresh(config, device)
    train(state, scale_rolls(), config)
    assert state.history[-1]["monitor"] > -2.5  # keys by their frequency alone reach -3.4
    assert state.history[0]["monitor"] < -5
