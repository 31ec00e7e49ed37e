"""What a NADE learns from teachers, with the compiled kernel and without."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model import checkpoint
from model.conditionals import log_probabilities
from model.distillation import Teachers
from model.errors import ConfigError
from model.gated import Contexts, context_of
from model.memory import contexts
from model.networks import new_network
from model.parameters import Parameters
from model.training import TrainingState, initial_state, keeping, train
from tests.model.conftest import Way
from tests.model.test_gated_training import CONFIG, TRAINING, tunes

TAUGHT = replace(TRAINING, distillation=0.7, validation=0.0)


def teachers(n: int = 2) -> list[Parameters]:
    """Models of other sizes that have learned nothing, but at random."""
    made = []
    for seed in range(n):
        network = new_network(replace(CONFIG, n_hidden=5 + seed), seed)
        for parameter in network.parameters():
            parameter.data.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(parameter.numel() + seed))
        made.append(network.to_parameters())
    return made


def given(roll: np.ndarray, way: Way) -> tuple[Contexts, torch.Tensor]:
    context = context_of(*contexts(roll))
    return Contexts(*(part.to(way.device) for part in context)), torch.from_numpy(roll).to(way.device)[:, None].float()


def state_of(way: Way, models: list[Parameters], training: object = TAUGHT) -> TrainingState:
    network = new_network(CONFIG, 0).to(way.device)
    return initial_state(network, training, way.kernel, teachers=models)  # type: ignore[arg-type]


def test_teachers_predict_what_they_do_alone_on_average(way: Way) -> None:
    roll = tunes()[0]
    context, v = given(roll, way)
    alone = []
    for model in teachers():
        one = Teachers([model], way.device, way.kernel)
        p = one.predict(context, v, one.begin(1)).cpu().double().numpy()
        expected = log_probabilities(model, [roll], None)
        np.testing.assert_allclose(np.log(np.where(roll, p, 1 - p)).sum(1), expected, rtol=1e-3, atol=1e-3)
        alone.append(p)
    both = Teachers(teachers(), way.device, way.kernel)
    together = both.predict(context, v, both.begin(1)).cpu().numpy()
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-5)


def test_their_states_go_on(way: Way) -> None:
    context, v = given(tunes()[0], way)
    both = Teachers(teachers(), way.device, way.kernel)
    states = both.begin(1)
    parts = [
        both.predict(Contexts(*(part[frames] for part in context)), v[frames], states)
        for frames in (slice(0, 7), slice(7, None))
    ]
    whole = both.predict(context, v, both.begin(1))
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=0)


def test_a_pupil_comes_to_predict_what_its_teachers_do(way: Way) -> None:
    """Not what it hears, if they have all to say."""
    training = replace(TAUGHT, distillation=1.0, epochs=6, min_updates=40, transpose=0, slips=0.0, average=None)
    models = teachers(1)
    state = state_of(way, models, training)
    before = _distance(state.network.to_parameters(), models[0])
    assert train(state, tunes(), training)
    assert _distance(state.network.to_parameters(), models[0]) < before / 4


def _distance(pupil: Parameters, teacher: Parameters) -> float:
    rolls = tunes(seed=1)[:]
    difference = log_probabilities(pupil, rolls, None) - log_probabilities(teacher, rolls, None)
    return float(np.abs(difference).mean())


def test_the_monitor_is_of_the_pieces(way: Way) -> None:
    training = replace(TAUGHT, distillation=1.0, lr=1e-9, epochs=1, transpose=0, slips=0.0)
    metrics = []
    for models in ([], teachers()):
        state = state_of(way, models, replace(training, distillation=1.0 if models else 0.0))
        train(state, tunes(), training)
        metrics.append(state.history[-1])
    assert metrics[0]["monitor"] == pytest.approx(metrics[1]["monitor"], rel=1e-4)
    assert metrics[0]["cost"] != pytest.approx(metrics[1]["cost"], rel=1e-2)


def test_an_interrupted_training_goes_on_with_its_teachers_to_the_bit(way: Way) -> None:
    whole = state_of(way, teachers())
    assert train(whole, tunes(), TAUGHT)
    calls = iter(range(1000))
    first = state_of(way, teachers())
    while not train(first, tunes(), TAUGHT, should_stop=lambda: next(calls) % 7 == 6):
        data = checkpoint.to_bytes(first)
        first = state_of(way, teachers())
        checkpoint.restore(first, data)
    with keeping(whole) as one, keeping(first) as other:
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["lstm-rbm", "rnn-rbm"])
def test_only_a_nade_teaches_and_is_taught(kind: str) -> None:
    other = new_network(replace(CONFIG, kind=kind, n_channels=0), 0)
    with pytest.raises(ConfigError, match="only an lstm-nade teaches and is taught"):
        initial_state(other, TAUGHT, teachers=teachers())
    with pytest.raises(ConfigError, match="only an lstm-nade teaches and is taught"):
        initial_state(new_network(CONFIG, 0), TAUGHT, teachers=[other.to_parameters()])


def test_teachers_and_their_share_go_together() -> None:
    with pytest.raises(ConfigError, match="one does not go without the other"):
        initial_state(new_network(CONFIG, 0), TAUGHT)
    with pytest.raises(ConfigError, match="one does not go without the other"):
        initial_state(new_network(CONFIG, 0), TRAINING, teachers=teachers())


def test_teachers_have_the_keys_of_the_pupil() -> None:
    wide = new_network(replace(CONFIG, pitch_range=(60, 73)), 0).to_parameters()
    with pytest.raises(ConfigError, match="the same keys"):
        initial_state(new_network(CONFIG, 0), TAUGHT, teachers=[wide])
