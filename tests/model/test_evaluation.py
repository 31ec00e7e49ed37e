"""What an evaluation reports, on models whose figures are known."""

import numpy as np
import pytest

from model.config import ModelConfig
from model.corpus import PackedRolls
from model.errors import CorpusError, Stopped
from model.evaluation import Evaluation, EvaluationConfig, evaluate
from model.likelihood import Annealing
from model.parameters import Parameters, shapes
from model.scoring import match
from tests.model.conftest import Way
from tests.pieces import piece

CONFIG = ModelConfig(n_hidden=6, n_hidden_recurrent=5)
QUICK = EvaluationConfig(Annealing(20, burn_in=10), pieces=3)
ROLLS = PackedRolls.pack([piece(0), piece(1, bars=9), piece(2, bars=1)], 88)


def model(**arrays: np.ndarray) -> Parameters:
    """Parameters that are zero but for those given."""
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes(CONFIG).items()}
    return Parameters(CONFIG, zeros | {name: array.astype(np.float32) for name, array in arrays.items()})


def random_model() -> Parameters:
    random = np.random.default_rng(0)
    return model(**{name: random.normal(0, 0.2, shape) for name, shape in shapes(CONFIG).items()})


def found(parameters: Parameters, way: Way, config: EvaluationConfig = QUICK) -> Evaluation:
    return evaluate(parameters, ROLLS, config, str(way.device), way.kernel)


def test_fair_coins_score_what_fair_coins_score(way: Way) -> None:
    figures = found(model(), way).figures
    for name in ("log_likelihood", "log_likelihood_reverse", "pseudo_log_likelihood_from_zeros"):
        assert figures[name] == pytest.approx(-88 * np.log(2), abs=1e-3)
    assert figures["frames"] == figures["frames_scored"] == ROLLS.n_frames
    assert figures["standard_error"] == 0
    assert figures["accuracy_bay"] == pytest.approx(4 / 2 / 46, abs=0.004)  # half of 4 notes, among 4 and half of 84


def test_every_frame_counts_equally(way: Way) -> None:
    """Independent keys at the first piece's frequencies, on pieces of unequal length."""
    bv = np.where(ROLLS[0].any(0), 1.0, -3.0)
    figures = found(model(bv=bv), way).figures
    frames = np.concatenate(list(ROLLS))
    expected = (frames * bv - np.logaddexp(0, bv)).sum(1).mean()
    assert figures["log_likelihood"] == pytest.approx(expected, abs=1e-3)
    assert figures["pseudo_log_likelihood"] == pytest.approx(expected, abs=1e-3)


def test_a_model_that_is_sure_and_right_is_accurate(way: Way) -> None:
    chord = piece(0)[0]
    rolls = PackedRolls.pack([np.repeat(chord[None], 12, 0), np.zeros((4, 88), bool)], 88)
    figures = evaluate(model(bv=np.where(chord, 20, -20)), rolls, QUICK, str(way.device), way.kernel).figures
    notes = chord.sum()
    assert figures["accuracy"] == pytest.approx(12 / 16)  # wrong where it is silent
    assert figures["accuracy_bay"] == pytest.approx(12 * notes / (16 * notes))
    assert figures["copy_accuracy"] == pytest.approx((11 + 4) / 16)  # nothing comes before a piece's first frame
    assert figures["copy_accuracy_bay"] == pytest.approx(11 / 12)


def test_the_accuracy_of_a_frame_by_hand() -> None:
    """Two notes there: one of three found; none at all; silence taken for silence."""
    v = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
    predicted = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
    found = match(v, predicted)
    assert found.accuracy == pytest.approx([1 / 3, 0, 1])
    assert found.hits == pytest.approx([1, 0, 0])
    assert found.union == pytest.approx([4, 2, 0])


def test_the_lower_of_the_reverse_estimates_counts(way: Way) -> None:
    figures = found(random_model(), way).figures
    both = figures["log_likelihood_reverse_from_data"], figures["log_likelihood_reverse_from_zeros"]
    assert figures["log_likelihood_reverse"] == min(both)
    assert both[0] != both[1]


def test_a_seed_gives_the_same_figures_and_another_seed_others(way: Way) -> None:
    first, again = (found(random_model(), way) for _ in range(2))
    other = found(random_model(), way, EvaluationConfig(QUICK.annealing, pieces=3, seed=1))
    assert first == again
    assert first.figures["log_likelihood"] != other.figures["log_likelihood"]
    assert first.music["samples"] != other.music["samples"]


def test_some_frames_stand_for_all(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard error says how well: here within four of them of all frames' own figure."""
    monkeypatch.setattr("model.evaluation.FRAMES_AT_ONCE", 16)
    rough = EvaluationConfig(Annealing(50), frames=40, predictions=1, pieces=0)
    some = found(random_model(), way, rough).figures
    every = found(random_model(), way, EvaluationConfig(Annealing(50), pieces=0)).figures
    assert some["frames_scored"] == 40
    assert 0 < some["standard_error"] < 2
    assert some["log_likelihood"] == pytest.approx(every["log_likelihood"], abs=4 * some["standard_error"])


def test_music_is_compared_at_one_length(way: Way) -> None:
    music = found(model(bv=np.full(88, -20.0)), way).music
    assert music["samples"]["polyphony"] == pytest.approx(0, abs=1e-3)
    assert music["corpus"]["polyphony"] == pytest.approx(4)
    assert music["overlap"]["polyphony"] == pytest.approx(0, abs=1e-3)
    assert found(model(), way, EvaluationConfig(QUICK.annealing, pieces=0)).music == {}


def test_it_tells_how_far_it_is_and_can_be_stopped(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FRAMES_AT_ONCE", "FRAMES_ON_A_GPU"):
        monkeypatch.setattr(f"model.evaluation.{name}", 32)
    reports: list[tuple[int, int]] = []
    evaluate(model(), ROLLS, QUICK, str(way.device), way.kernel, on_progress=lambda *report: reports.append(report))
    assert reports == [(0, 112), (32, 112), (64, 112), (96, 112), (104, 112), (112, 112)]
    with pytest.raises(Stopped):
        evaluate(model(), ROLLS, QUICK, str(way.device), way.kernel, should_stop=lambda: True)


def test_nothing_to_evaluate_on_is_an_error() -> None:
    with pytest.raises(CorpusError, match="no piece has a single frame"):
        evaluate(model(), PackedRolls.pack([np.zeros((0, 88), bool)], 88), QUICK)
