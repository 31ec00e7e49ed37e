"""What an evaluation reports of the models with a gated recurrence, against enumeration."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from model import gated_plain
from model.conditionals import Conditionals
from model.config import ModelConfig
from model.corpus import PackedRolls
from model.evaluation import FIGURES_OF_CHAINS, EvaluationConfig, evaluate
from model.likelihood import Annealing, exact_log_partition, free_energies, piece_log_likelihood
from model.parameters import Parameters
from model.scoring import match
from tests.model.conftest import Way
from tests.model.test_gated import SMALL, network_of, piece
from tests.model.test_gated_generation import STATES, frame_distribution

NADE, RBM = SMALL, replace(SMALL, kind="lstm-rbm")
PIECES = [piece(SMALL, 12), piece(SMALL, 1, seed=1), piece(SMALL, 20, seed=2)]
ROLLS = PackedRolls.pack(PIECES, 6)


def exact(parameters: Parameters) -> np.ndarray:
    """Log-likelihood of every frame."""
    if parameters.config.kind == "lstm-nade":
        return np.concatenate([gated_plain.log_probabilities(parameters, roll) for roll in PIECES])
    bv, bh = (np.concatenate(part) for part in zip(*(gated_plain.biases(parameters, r) for r in PIECES), strict=True))
    c = Conditionals(np.concatenate(PIECES), parameters.arrays["W"], bv, bh)
    values: np.ndarray = -free_energies(c) - exact_log_partition(c)
    return values


def test_a_nades_likelihood_is_exact_and_it_has_no_chains(way: Way) -> None:
    parameters = network_of(NADE).to_parameters()
    figures = evaluate(
        parameters, ROLLS, EvaluationConfig(predictions=1, pieces=0), str(way.device), way.kernel
    ).figures
    assert figures["log_likelihood"] == pytest.approx(exact(parameters).mean(), abs=1e-4)
    assert figures["log_likelihood_reverse"] == figures["log_likelihood"]
    assert figures["standard_error"] == 0
    assert figures["frames"] == figures["frames_scored"] == ROLLS.n_frames
    assert not figures.keys() & set(FIGURES_OF_CHAINS)


def test_annealing_comes_near_to_the_likelihood_of_an_rbm_with_a_gated_recurrence(way: Way) -> None:
    parameters = network_of(RBM).to_parameters()
    config = EvaluationConfig(Annealing(200, chains=5, burn_in=50), predictions=1, pieces=0)
    figures = evaluate(parameters, ROLLS, config, str(way.device), way.kernel).figures
    assert figures["log_likelihood"] == pytest.approx(exact(parameters).mean(), abs=0.05)
    assert figures["log_likelihood_reverse"] == pytest.approx(exact(parameters).mean(), abs=0.05)
    assert set(FIGURES_OF_CHAINS) <= figures.keys()


@cache
def expected_accuracy(config: ModelConfig) -> float:
    """Of frames drawn after the true ones, in a piece of nine frames."""
    parameters, roll = network_of(config).to_parameters(), piece(SMALL, 9)
    each = [
        frame_distribution(parameters, roll[:t], 1.0) @ match(np.tile(frame, (64, 1)), STATES).accuracy
        for t, frame in enumerate(roll)
    ]
    return float(np.mean(each))


@pytest.mark.parametrize("config", [NADE, RBM], ids=lambda config: config.kind)
def test_the_accuracy_is_that_of_frames_drawn_after_the_true_ones(config: ModelConfig, way: Way) -> None:
    parameters, roll = network_of(config).to_parameters(), piece(SMALL, 9)
    draws = 300 if way.kernel else 10
    how = EvaluationConfig(Annealing(2, burn_in=1), predictions=draws, pieces=0)
    found = evaluate(parameters, PackedRolls.pack([roll], 6), how, str(way.device), way.kernel).figures["accuracy"]
    assert found == pytest.approx(expected_accuracy(config), abs=3 * np.sqrt(0.25 / (9 * draws)))


def test_a_pieces_likelihood_is_that_of_its_frames(way: Way) -> None:
    for config in (NADE, RBM):
        parameters = network_of(config).to_parameters()
        expected = exact(parameters)[-20:].mean()
        assert piece_log_likelihood(parameters, PIECES[2], str(way.device), way.kernel) == pytest.approx(
            expected, abs=1e-4 if config is NADE else 0.2
        )


@pytest.mark.parametrize("config", [NADE, RBM], ids=lambda config: config.kind)
def test_some_frames_stand_for_all_and_a_seed_gives_the_same(config: ModelConfig, way: Way) -> None:
    parameters = network_of(config).to_parameters()
    how = EvaluationConfig(Annealing(5, burn_in=2), frames=9, predictions=2, pieces=2)
    one, again = (evaluate(parameters, ROLLS, how, str(way.device), way.kernel) for _ in range(2))
    assert one == again
    assert one.figures["frames_scored"] == 9
    assert one.figures["standard_error"] > 0
    assert {"polyphony", "repetition"} <= one.music["samples"].keys()
