"""Annealed importance sampling against enumeration, on each kernel; and the conditionals that it is given."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.annealing import PlainAnnealer
from model.conditionals import Conditionals, conditionals
from model.config import ModelConfig
from model.errors import ConfigError
from model.kernel import Kernel, kernels, stream_of
from model.likelihood import (
    Annealer,
    Annealing,
    annealer,
    base_log_partition,
    exact_log_partition,
    forward_log_likelihood,
    free_energies,
    log_likelihood,
    piece_log_likelihood,
    reverse_log_likelihood,
)
from model.parameters import Parameters, shapes
from tests.model.conftest import Way

CONFIG = ModelConfig(n_hidden=20, n_hidden_recurrent=30, pitch_range=(50, 72))


@pytest.fixture
def runner(way: Way) -> Annealer:
    return annealer(str(way.device), way.kernel)


def random_rbms(n: int, n_visible: int, n_hidden: int, scale: float, seed: int = 1) -> Conditionals:
    """Frames with biases of their own; few keys sound, as in music."""
    random = np.random.default_rng(seed)

    def normal(std: float, *shape: int) -> np.ndarray:
        return random.normal(0, std, shape).astype(np.float32)

    v = random.random((n, n_visible)) < 0.1
    bv = normal(1, n, n_visible) - 2
    return Conditionals(v, normal(scale, n_visible, n_hidden), bv, normal(1, n, n_hidden))


def random_model(config: ModelConfig = CONFIG) -> Parameters:
    """Parameters of the order that learned ones have."""
    random = np.random.default_rng(3)
    return Parameters(
        config, {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes(config).items()}
    )


def random_rolls(*lengths: int) -> list[np.ndarray]:
    random = np.random.default_rng(4)
    return [random.random((length, CONFIG.n_visible)) < 0.2 for length in lengths]


def all_states(n: int) -> np.ndarray:
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def test_exact_probabilities_of_all_frames_sum_to_one() -> None:
    one = random_rbms(1, 9, 5, 1.0)
    every = replace(one.take(np.zeros(512, np.int64)), v=all_states(9))
    log_p = -free_energies(every) - exact_log_partition(one)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("n_hidden", "scale", "temperatures"), [(1, 1.0, 1500), (7, 0.3, 300), (16, 0.6, 2500)])
def test_both_sides_come_within_a_twentieth_of_a_nat_of_enumeration(
    runner: Annealer, n_hidden: int, scale: float, temperatures: int
) -> None:
    c = random_rbms(4, 88, n_hidden, scale)
    exact = -free_energies(c) - exact_log_partition(c)
    found = log_likelihood(runner, c, Annealing(temperatures, chains=100, burn_in=50), seed=5)
    for estimate in (found.forward, found.reverse_from_data, found.reverse_from_zeros):
        assert np.abs(estimate - exact).max() < 0.05


def test_the_mean_weight_is_the_ratio_of_the_partition_functions(runner: Annealer) -> None:
    """With few temperatures, where any error in a weight or a step would show."""
    n = 40_000
    one = random_rbms(1, 12, 6, 0.7)
    c = one.take(np.zeros(n, np.int64))
    _, log_weights = runner.anneal(c, c.v, np.array([0, 0, 0.2, 0.6, 1], np.float32), stream_of(2))
    weights = np.exp(log_weights)
    expected = np.exp(exact_log_partition(one) - base_log_partition(one))[0]
    assert weights.std() / weights.mean() > 0.3  # it is no test where all weights are the same
    assert weights.mean() == pytest.approx(expected, abs=4.5 * weights.std() / np.sqrt(n))


def test_the_truth_lies_between_the_two_sides(runner: Annealer) -> None:
    """On frames that the RBMs themselves drew, with so few temperatures that the sides are far apart."""
    n, random = 3000, np.random.default_rng(8)
    one = random_rbms(1, 10, 8, 1.0)
    every = replace(one.take(np.zeros(1024, np.int64)), v=all_states(10))
    p = np.exp(-free_energies(every) - exact_log_partition(one))
    drawn = every.v[random.choice(1024, n, p=p / p.sum())]
    c = replace(one.take(np.zeros(n, np.int64)), v=drawn)
    exact = (-free_energies(c) - exact_log_partition(one)).mean()
    found = log_likelihood(runner, c, Annealing(temperatures=3), seed=1)
    assert found.forward.mean() > exact + 0.05
    assert found.reverse_from_data.mean() < exact - 0.05
    assert found.reverse_from_zeros.mean() < exact - 0.05


def test_more_chains_bring_the_forward_estimate_down(runner: Annealer) -> None:
    c = random_rbms(200, 20, 10, 1.0)
    one, many = (forward_log_likelihood(runner, c, Annealing(4, chains), 1).mean() for chains in (1, 50))
    exact = (-free_energies(c) - exact_log_partition(c)).mean()
    assert one > many > exact - 0.02


def test_without_weights_there_is_nothing_to_estimate(runner: Annealer) -> None:
    """Also units enough for several blocks of registers, and a single one."""
    for n_visible, n_hidden in ((128, 300), (88, 17), (1, 1)):
        c = random_rbms(5, n_visible, n_hidden, 0.0)
        expected = (np.where(c.v, c.bv, 0) - np.logaddexp(0, c.bv)).sum(1)
        found = log_likelihood(runner, c, Annealing(10), seed=0)
        np.testing.assert_allclose(found.forward, expected, atol=1e-3)
        np.testing.assert_allclose(found.reverse_from_data, expected, atol=1e-3)


def test_kernels_agree_and_large_weights_do_no_harm() -> None:
    """The instruction sets draw the same chains; PyTorch's estimate is as near as chance allows."""
    c = random_rbms(300, 101, 203, 0.2)
    betas = np.linspace(0, 1, 50, dtype=np.float32)
    runs = [kernel.anneal(c.W, c.bv, c.bh, c.v, betas, 7, 0) for kernel in kernels()]
    for ends, log_weights in runs[1:]:
        assert (ends == runs[0][0]).all()
        np.testing.assert_allclose(log_weights, runs[0][1], atol=2e-3)
    plain = PlainAnnealer("cpu").anneal(c, c.v, betas, 7)[1]
    for _, log_weights in runs:
        error = np.sqrt((plain.var() + log_weights.var()) / len(c))
        assert log_weights.mean() == pytest.approx(plain.mean(), abs=4.5 * error)
    huge = replace(c, W=c.W * 1000)
    assert all(np.isfinite(kernel.anneal(huge.W, c.bv, c.bh, c.v, betas, 7, 0)[1]).all() for kernel in kernels())


@pytest.mark.parametrize("kernel", kernels(), ids=lambda kernel: kernel.name)
def test_threads_and_blocks_change_nothing(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    c, runner, betas = random_rbms(201, 30, 20, 0.5), annealer("cpu", kernel), np.linspace(0, 1, 20, dtype=np.float32)
    whole = runner.anneal(c, c.v, betas, 4)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    monkeypatch.setattr("model.likelihood.ROWS_A_TASK", 7)
    blocks = [c.take(slice(i, i + 50)) for i in range(0, 201, 50)]
    parts = [runner.anneal(block, block.v, betas, 4, first=50 * i) for i, block in enumerate(blocks)]
    for one, several in zip(whole, zip(*parts, strict=True), strict=True):
        assert (np.concatenate(several) == one).all()
    assert not (runner.anneal(c, c.v, betas, 5)[1] == whole[1]).any()


def test_every_frame_has_random_numbers_of_its_own(runner: Annealer) -> None:
    one = random_rbms(1, 30, 20, 0.5)
    same = one.take(np.zeros(30, np.int64))
    assert len(set(forward_log_likelihood(runner, same, Annealing(20, chains=3), 4).tolist())) == 30


def test_the_plain_annealer_runs_on_every_device(device: torch.device) -> None:
    c = random_rbms(4, 88, 10, 0.3)
    runner, how = PlainAnnealer(str(device)), Annealing(500, chains=10)
    exact = -free_energies(c) - exact_log_partition(c)
    first, again = (reverse_log_likelihood(runner, c, how, "zeros", 3) for _ in range(2))
    assert np.abs(first - exact).max() < 0.1
    assert (first == again).all()


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"temperatures": 1}, {"chains": 0}, {"burn_in": 0}):
        with pytest.raises(ConfigError, match="at least"):
            Annealing(**wrong)
    with pytest.raises(ValueError, match="21 hidden units"):
        exact_log_partition(random_rbms(1, 5, 21, 0.1))


def test_conditionals_are_those_of_ten_lines_of_numpy(kernel: Kernel | None) -> None:
    model, rolls = random_model(), random_rolls(17, 1, 0, 40)
    found = conditionals(model, rolls, kernel)
    p, row = {name: array.astype(np.float64) for name, array in model.arrays.items()}, 0
    for roll in rolls:
        u = np.zeros(CONFIG.n_hidden_recurrent)
        for v in roll:
            np.testing.assert_allclose(found.bv[row], p["bv"] + u @ p["Wuv"], atol=1e-4)
            np.testing.assert_allclose(found.bh[row], p["bh"] + u @ p["Wuh"], atol=1e-4)
            assert (found.v[row] == v).all()
            u = np.tanh(p["bu"] + v @ p["Wvu"] + u @ p["Wuu"])
            row += 1
    assert row == len(found) == 58
    assert np.array_equal(found.W, model.arrays["W"])


def test_conditionals_depend_on_earlier_frames_of_the_piece_only(kernel: Kernel | None) -> None:
    model, rolls = random_model(), random_rolls(20, 30, 20)
    before = conditionals(model, rolls, kernel)
    for frame in (0, 13, 29):
        changed = [roll.copy() for roll in rolls]
        changed[1][frame, 5] ^= True
        after = conditionals(model, changed, kernel)
        same = (before.bv == after.bv).all(1) & (before.bh == after.bh).all(1)
        assert same[: 20 + frame + 1].all()
        assert not same[20 + frame + 1 : 50].any()
        assert same[50:].all()


def test_the_rough_figure_of_a_piece_is_near_a_thorough_one(way: Way) -> None:
    model, [roll] = random_model(), random_rolls(60)
    c = conditionals(model, [roll], way.kernel)
    thorough = forward_log_likelihood(annealer(str(way.device), way.kernel), c, Annealing(1000), 0).mean()
    rough = piece_log_likelihood(model, roll, str(way.device), way.kernel)
    assert rough == pytest.approx(thorough, abs=0.3)
    assert rough == piece_log_likelihood(model, roll, str(way.device), way.kernel)
