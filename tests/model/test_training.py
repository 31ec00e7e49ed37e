"""Training: it learns, it is reproducible, and a resumed run is the uninterrupted one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.config import ModelConfig, TrainingConfig
from model.corpus import PackedRolls
from model.errors import CorpusError, TrainingError
from model.kernel import Kernel, best
from model.rnn_rbm import RnnRbmNetwork
from model.task import probe
from model.training import TrainingState, initial_state, keeping, train
from tests.model.conftest import Way

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
    replace(
        TRAINING,
        n_parallel=2,
        momentum=0.9,
        lr_rbm=0.02,
        transpose=3,
        average=0.9,
        validation=0.4,
        patience=9,
        pretraining=0.4,
    ),
    replace(TRAINING, n_parallel=2, optimizer="adam", rbm_pretraining=4, validation=0.2, seed=5),
]
NAMES = ["tutorial", "adam", "pretrained", "averaged", "rbm-first"]


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


def kept(state: TrainingState) -> dict[str, torch.Tensor]:
    """What the training comes to."""
    with keeping(state) as network:
        return {name: value.detach().clone() for name, value in network.named_parameters()}


@pytest.mark.parametrize("config", VARIANTS, ids=NAMES)
@pytest.mark.parametrize("n_updates", [1, 3, 5])
def test_a_training_resumed_from_its_checkpoint_equals_an_uninterrupted_one(
    config: TrainingConfig, n_updates: int, way: Way
) -> None:
    from model import checkpoint

    whole = fresh(config, *way)
    assert train(whole, scale_rolls(), config)

    first = fresh(config, *way)
    assert not train(first, scale_rolls(), config, should_stop=stop_after(n_updates))
    second = fresh(config, *way)
    checkpoint.restore(second, checkpoint.to_bytes(first))
    assert train(second, scale_rolls(), config)

    for name, value in parameters(whole).items():
        assert torch.equal(value, parameters(second)[name]), name
    assert kept(whole).keys() == kept(second).keys()
    assert all(torch.equal(value, kept(second)[name]) for name, value in kept(whole).items())
    assert (whole.best_epoch, whole.best_score) == (second.best_epoch, second.best_score)
    timeless = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in second.history]
    assert timeless == [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in whole.history]


def test_the_same_seed_gives_the_same_parameters_and_another_seed_others(way: Way) -> None:
    states = []
    for seed in (1, 1, 2):
        state = fresh(replace(TRAINING, seed=seed), *way)
        train(state, scale_rolls(), replace(TRAINING, seed=seed))
        states.append(parameters(state))
    assert torch.equal(states[0]["W"], states[1]["W"])
    assert not torch.equal(states[0]["W"], states[2]["W"])


def test_the_monitor_rises_on_a_pattern_that_can_be_learned(way: Way) -> None:
    config = replace(TRAINING, epochs=150, lr=0.01, n_parallel=4, optimizer="adam")
    state = fresh(config, *way)
    train(state, scale_rolls(), config)
    monitors = [epoch["monitor"] for epoch in state.history]
    assert monitors[-1] > -2.5  # keys by their frequency alone reach -3.4
    assert monitors[0] < -5
    assert [epoch["epoch"] for epoch in state.history] == list(range(1, 151))


def test_the_epoch_that_predicts_best_what_was_held_out_is_kept(way: Way) -> None:
    """A rate that is far too high at last: what was learned before is kept."""
    config = replace(TRAINING, epochs=8, optimizer="adam", lr=0.05, n_parallel=2, min_updates=20, validation=0.3)
    state = fresh(config, *way)
    copies = {}
    train(state, scale_rolls(), config, on_epoch=lambda state: copies.update({state.epoch: parameters(state)}))
    scores = [epoch["validation"] for epoch in state.history]
    assert state.best_score == max(scores) == scores[state.best_epoch - 1]
    assert state.metrics == state.history[state.best_epoch - 1]
    assert all(torch.equal(value, copies[state.best_epoch][name]) for name, value in kept(state).items())
    assert all(torch.equal(value, copies[8][name]) for name, value in parameters(state).items())


def test_a_training_ends_when_what_was_held_out_is_predicted_no_better(way: Way) -> None:
    config = replace(TRAINING, epochs=200, optimizer="adam", lr=0.3, n_parallel=2, validation=0.3, patience=3)
    state = fresh(config, *way)
    assert train(state, scale_rolls(), config)
    assert state.epoch == state.best_epoch + 3 < 200
    assert train(state, scale_rolls(), config)  # it stays done
    assert state.epoch == state.best_epoch + 3


def test_the_second_stage_goes_on_from_the_best_epoch_of_the_first(device: torch.device) -> None:
    config = replace(TRAINING, epochs=40, pretraining=0.5, optimizer="adam", lr=0.1, validation=0.3, patience=2)
    state = fresh(config, device)
    copies: dict[int, dict[str, torch.Tensor]] = {}
    best_of_first: list[int] = []

    def note(state: TrainingState) -> None:
        copies[int(state.history[-1]["epoch"])] = parameters(state)
        if state.epoch == 20 and not best_of_first:  # the stage has just been passed on from
            scores = {int(row["epoch"]): row["validation"] for row in state.history}
            best_of_first.append(max(scores, key=scores.__getitem__))
            assert (state.best, state.best_epoch) == ({}, 0)
            assert max(scores) == best_of_first[0] + 2 < 20
            assert all(torch.equal(v, copies[best_of_first[0]][name]) for name, v in parameters(state).items())

    assert train(state, scale_rolls(), config, on_epoch=note)
    assert best_of_first
    assert 20 < state.best_epoch == state.epoch - 2 < 38
    assert state.metrics["epoch"] == state.best_epoch


def test_averaged_parameters_are_kept_and_measured(way: Way) -> None:
    config = replace(TRAINING, average=0.8, epochs=2)
    state = fresh(config, *way)
    bias: list[torch.Tensor] = []

    def note() -> bool:
        bias.append(state.network.bv.detach().clone())
        return False

    train(state, scale_rolls(), config, should_stop=note)
    expected = bias[1]
    for update, value in enumerate([*bias[2:], parameters(state)["bv"]], 1):
        expected = torch.lerp(expected, value, 1 - min(0.8, (1 + update) / (10 + update)))
    torch.testing.assert_close(kept(state)["bv"], expected)
    assert not torch.equal(kept(state)["bv"], parameters(state)["bv"])
    with keeping(state) as network:
        assert state.history[-1]["zero_start"] == probe(network, scale_rolls(), "zeros", 25, way.kernel)


def test_each_rate_and_the_momentum_go_to_their_parameters(device: torch.device) -> None:
    """One update by SGD with Nesterov's momentum moves by (1 + momentum) times the rate times the gradient.

    The gradient is what the momentum is at first: on a GPU, PyTorch adds the momentum to `grad` itself.
    """
    config = replace(TRAINING, epochs=1, n_parallel=9, lr=0.01, lr_rbm=0.5, momentum=0.5)
    state = fresh(config, device)
    before = parameters(state)
    train(state, scale_rolls(), config)
    for name, parameter in state.network.named_parameters():
        rate = 0.5 if name in ("W", "bv", "bh") else 0.01
        gradient = state.optimizer.state[parameter]["momentum_buffer"]
        torch.testing.assert_close(before[name] - parameter.detach(), rate * 1.5 * gradient)


def test_the_first_state_is_learned(device: torch.device) -> None:
    """Pieces begin with a key that is rare later."""
    roll = np.zeros((20, 12), bool)
    roll[0, 0] = roll[1:, 1] = True
    config = replace(TRAINING, epochs=300, lr=0.02, optimizer="adam", batch_size=20)
    network = RnnRbmNetwork(replace(CONFIG, learn_u0=True), torch.Generator().manual_seed(0)).to(device)
    state = initial_state(network, config, best())
    train(state, PackedRolls.pack([roll], 12), config)
    bv, _ = network.conditional_biases(network.initial_state(1))
    assert bv[0, 0] > bv[0, 1]


def test_the_rbm_alone_learns_chords_that_no_key_by_itself_tells(way: Way) -> None:
    """Two chords without a common key, one after the other at random: the RBM learns that it is one or the other."""
    chords = np.zeros((400, 12), bool)
    first = np.random.default_rng(1).random(400) < 0.5
    chords[first, :3] = chords[~first, 6:9] = True
    rolls = PackedRolls.pack([chords], 12)
    config = replace(TRAINING, epochs=1, lr=1e-9, rbm_pretraining=400, chain_start="zeros")
    state = fresh(config, *way)
    train(state, rolls, config)
    assert state.task.score(rolls) > -1.5  # log 2 and a little; each key by itself: 6 log 2


def test_a_training_that_is_killed_while_the_rbm_learns_begins_again(way: Way) -> None:
    from model import checkpoint

    config = replace(TRAINING, rbm_pretraining=50, epochs=1)
    whole, killed, second = (fresh(config, *way) for _ in range(3))
    train(whole, scale_rolls(), config)
    saved: list[bytes] = []

    def save_then_stop() -> bool:
        saved.append(checkpoint.to_bytes(killed))
        return len(saved) == 20

    assert not train(killed, scale_rolls(), config, should_stop=save_then_stop)
    checkpoint.restore(second, saved[-1])
    assert train(second, scale_rolls(), config)
    assert all(torch.equal(value, parameters(second)[name]) for name, value in parameters(whole).items())


def test_pieces_are_heard_in_other_keys(device: torch.device) -> None:
    config = replace(TRAINING, epochs=200, lr=0.05, n_parallel=9, transpose=5)  # with fewer, chance decides of some key
    roll = np.zeros((30, 12), bool)
    roll[:, 6] = True
    state = fresh(config, device)
    train(state, PackedRolls.pack([roll], 12), config)
    bv = state.network.bv.detach().cpu()
    assert set(np.flatnonzero(bv > bv[0] + 0.05)) == set(range(1, 12))


def test_a_small_corpus_is_gone_through_often_enough(device: torch.device) -> None:
    config = replace(TRAINING, epochs=1, min_updates=20)
    state = fresh(config, device)
    assert not train(state, scale_rolls(), config, should_stop=stop_after(19))
    assert state.update == 19
    assert train(state, scale_rolls(), config)
    assert state.epoch == 1


def test_every_frame_counts_the_same_whatever_the_padding(way: Way) -> None:
    """An update on subsequences of unequal length moves bv by the mean over their real frames."""
    short, long = np.ones((2, 12), dtype=bool), np.zeros((8, 12), dtype=bool)
    config = replace(TRAINING, epochs=1, lr=1.0, n_parallel=2, gibbs_steps=1)
    state = fresh(config, *way)
    state.network.bv.data.fill_(30.0)  # the chain then turns every key on: v_sample = 1
    train(state, PackedRolls.pack([short, long], 12), config)
    np.testing.assert_allclose(state.network.bv.detach().cpu(), 30.0 + (2 / 10 - 1), rtol=1e-5)


def test_an_empty_corpus_is_refused() -> None:
    with pytest.raises(CorpusError, match="nothing to train on"):
        train(fresh(), PackedRolls.pack([np.zeros((0, 12), dtype=bool)], 12), TRAINING)


def test_a_training_that_diverges_says_so(device: torch.device) -> None:
    state = fresh(TRAINING, device)
    state.network.bv.data[0] = torch.nan
    with pytest.raises(TrainingError, match="lower lr"):
        train(state, scale_rolls(), TRAINING)


def test_the_probe_sees_a_chain_that_does_not_mix(way: Way) -> None:
    """An RBM with two far modes: from the data the chain stays where it is, from zeros it finds the wrong one."""
    state = fresh(TRAINING, *way)
    network = state.network
    for parameter in network.parameters():
        parameter.data.zero_()
    network.W.data[:, 0] = 20.0  # all keys together ...
    network.bh.data[0] = -120.0  # ... or none
    network.bv.data.fill_(-10.0)
    piece = PackedRolls.pack([np.ones((10, 12), dtype=bool)], 12)
    assert probe(network, piece, "data", 15, way.kernel) > -0.1
    assert probe(network, piece, "zeros", 25, way.kernel) < -50


def test_no_score_is_beyond_certainty(way: Way) -> None:
    """Weights with which no chain mixes, as after steps far too long."""
    state = fresh(TRAINING, *way)
    for parameter in state.network.parameters():
        parameter.data.normal_(0, 30, generator=torch.Generator(way.device).manual_seed(parameter.numel()))
    assert state.task.score(scale_rolls()) < 0
