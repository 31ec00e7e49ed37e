"""The compiled kernel against enumeration, against PyTorch, and against itself."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from model.config import ModelConfig, TrainingConfig
from model.gradients import Position, gradients
from model.infilling import penalties
from model.kernel import Clamp, Kernel, kernels, stream_of
from model.parameters import Parameters
from model.rbm import gibbs_chain
from model.rnn_rbm import RnnRbmNetwork

SIZES = [
    ModelConfig(n_hidden=150, n_hidden_recurrent=100),
    ModelConfig(n_hidden=1, n_hidden_recurrent=1, pitch_range=(60, 61)),
    ModelConfig(n_hidden=16, n_hidden_recurrent=64, pitch_range=(0, 128)),
    ModelConfig(n_hidden=300, n_hidden_recurrent=17, pitch_range=(40, 107)),
]


def network(config: ModelConfig) -> RnnRbmNetwork:
    """Parameters of the order that learned ones have, all of them at work."""
    generator = torch.Generator().manual_seed(2)
    made = RnnRbmNetwork(config, generator)
    for parameter in made.parameters():
        parameter.data.normal_(0.0, 0.3 if parameter.ndim == 1 else 0.1, generator=generator)
    made.bv.data -= 2
    return made


def random_rolls(config: ModelConfig, lengths: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(4)
    return [random.random((length, config.n_visible)) < 0.1 for length in lengths]


def computed(
    network: RnnRbmNetwork, kernel: Kernel | None, config: TrainingConfig, chunks: list[np.ndarray], n: int = 1
) -> tuple[np.ndarray, float, float]:
    """Means over `n` updates of the whole gradient in one row, of cost and of monitor."""
    total, costs, monitors = 0.0, [], []
    with gradients(network, torch.Generator().manual_seed(0), kernel, config) as compute:
        for update in range(n):
            cost, monitor = compute(chunks, Position(1, update))
            costs.append(cost)
            monitors.append(monitor)
            gradient = [np.zeros(p.shape) if p.grad is None else p.grad.numpy() for p in network.parameters()]
            total = total + np.concatenate([part.ravel() for part in gradient]) / n
    return total, float(np.mean(costs)), float(np.mean(monitors))


@pytest.mark.parametrize("config", SIZES, ids=str)
def test_the_gradient_of_the_cross_entropy_is_that_of_automatic_differentiation(
    compiled: Kernel, config: ModelConfig
) -> None:
    chunks = random_rolls(config, [23, 1, 100, 7, 2, 11, 30, 5, 64, 3])
    training = TrainingConfig(epochs=4, pretraining=1.0)
    ours = computed(network(config), compiled, training, chunks)
    plain = computed(network(config), None, training, chunks)
    np.testing.assert_allclose(ours[0], plain[0], rtol=1e-3, atol=1e-5 * np.abs(plain[0]).max())
    np.testing.assert_allclose(ours[1:], plain[1:], rtol=1e-5)


CD_SIZES = ModelConfig(n_hidden=40, n_hidden_recurrent=30)
CD_CHUNKS = random_rolls(CD_SIZES, [40, 60, 21])
UPDATES = 200


@pytest.fixture(scope="module", params=["data", "zeros"])
def plain_divergence(request: pytest.FixtureRequest) -> tuple[TrainingConfig, tuple[np.ndarray, float, float]]:
    """The mean of many updates by PyTorch, and how they were computed."""
    training = TrainingConfig(gibbs_steps=4, chain_start=request.param)
    return training, computed(network(CD_SIZES), None, training, CD_CHUNKS, UPDATES)


def test_the_gradient_of_contrastive_divergence_is_pytorchs_on_average(
    plain_divergence: tuple[TrainingConfig, tuple[np.ndarray, float, float]], compiled: Kernel
) -> None:
    """Two estimates of one expectation: alike, and nearer to each other the more updates are averaged."""
    training, plain = plain_divergence
    ours = computed(network(CD_SIZES), compiled, training, CD_CHUNKS, UPDATES)
    assert np.corrcoef(ours[0], plain[0])[0, 1] > 0.998
    assert np.linalg.norm(ours[0]) == pytest.approx(np.linalg.norm(plain[0]), rel=0.02)
    assert ours[1] == pytest.approx(plain[1], abs=0.26)  # 5 standard errors of the difference, as the next
    assert ours[2] == pytest.approx(plain[2], abs=0.045)


def test_the_recurrence_misses_the_share_of_notes_that_dropout_says(compiled: Kernel) -> None:
    """Wvu's gradient counts, with everything else at zero, the notes that were heard."""
    config = ModelConfig(n_hidden=1, n_hidden_recurrent=1)
    model = RnnRbmNetwork(config)
    for parameter in model.parameters():
        parameter.data.zero_()
    model.Wuv.data.fill_(1.0)
    chunks = [np.ones((100, 88), dtype=bool)] * 20

    def heard(dropout: float) -> np.ndarray:
        training = TrainingConfig(epochs=4, pretraining=1.0, input_dropout=dropout)
        with gradients(model, torch.Generator(), compiled, training) as compute:
            compute(chunks, Position(0, 0))
        assert model.Wvu.grad is not None
        return model.Wvu.grad.numpy()[:, 0].copy()

    everything, some = heard(0.0), heard(0.3)
    assert everything == pytest.approx(everything[0])
    assert (some / everything).mean() == pytest.approx(0.7, abs=0.005)  # of 174,240 notes: 5 standard errors
    assert len(set(some.tolist())) > 20


def enumerated(W: Tensor, bv: Tensor, bh: Tensor) -> np.ndarray:
    v = torch.tensor(list(product([0.0, 1.0], repeat=len(bv))))
    return torch.softmax(v @ bv + softplus(bh + v @ W).sum(1), 0).numpy()


def test_a_long_chain_visits_states_as_often_as_enumeration_says(compiled: Kernel) -> None:
    generator = torch.Generator().manual_seed(3)
    config = ModelConfig(n_hidden=4, n_hidden_recurrent=1, pitch_range=(60, 65))
    model = RnnRbmNetwork(config)
    model.W.data.normal_(generator=generator)
    bv, bh = torch.randn(5, generator=generator), torch.randn(4, generator=generator)
    n = 40_000
    v = compiled.chains(
        model.W.data.numpy(), np.zeros((n, 5), bool), bv.expand(n, 5).numpy(), bh.expand(n, 4).numpy(), 60, 8
    )
    frequency = np.bincount(v @ [16, 8, 4, 2, 1], minlength=32) / n
    expected = enumerated(model.W.data, bv, bh)
    assert np.abs(frequency - expected).max() < 5 * np.sqrt(expected * (1 - expected) / n).max()


N = 20_000
MOMENTS = network(ModelConfig(n_hidden=70, n_hidden_recurrent=1))
HALVES = torch.linspace(-1, 1, 2).repeat(N // 2)[:, None]
BIASES = MOMENTS.bv.data + HALVES, MOMENTS.bh.data - HALVES


@cache
def plain_samples() -> np.ndarray:
    generator = torch.Generator().manual_seed(1)
    return gibbs_chain(torch.zeros(N, 88), MOMENTS.W.data, *BIASES, 10, generator).numpy()


def test_samples_have_the_moments_of_pytorchs(compiled: Kernel) -> None:
    """Means and second moments of 88 keys, rows of other biases side by side."""
    bv, bh = BIASES
    ours = compiled.chains(MOMENTS.W.data.numpy(), np.zeros((N, 88), bool), bv.numpy(), bh.numpy(), 10, 5)
    for half in (0, 1):
        a, b = ours[half::2].astype(np.float32), plain_samples()[half::2]
        assert np.abs(a.mean(0) - b.mean(0)).max() < 5 * np.sqrt(2 * 0.25 / (N / 2))
        assert np.abs(a.T @ a - b.T @ b).max() / (N / 2) < 5.5 * np.sqrt(2 * 0.25 / (N / 2))


def unweighted(compiled: Kernel, logit: float) -> np.ndarray:
    """Units without weights, which show the random numbers themselves: (N, 128)."""
    bv, bh = np.full((N, 128), logit, np.float32), np.zeros((N, 1), np.float32)
    v: np.ndarray = compiled.chains(np.zeros((128, 1), np.float32), np.zeros((N, 128), bool), bv, bh, 3, stream_of(6))
    return v


@cache
def of_one_instruction_set(logit: float) -> np.ndarray:
    return unweighted(kernels()[0], logit)


@pytest.mark.parametrize("logit", [-4.0, 0.0, 2.0])
def test_random_numbers_are_those_of_every_instruction_set(compiled: Kernel, logit: float) -> None:
    assert (unweighted(compiled, logit) == of_one_instruction_set(logit)).all()


@pytest.mark.skipif(not kernels(), reason="there is no compiled kernel here")
@pytest.mark.parametrize("logit", [-4.0, 0.0, 2.0])
def test_random_numbers_are_uniform_and_do_not_depend_on_each_other(logit: float) -> None:
    """Frequencies by unit, step and row, and neighbours."""
    p = 1 / (1 + np.exp(-logit))
    v = of_one_instruction_set(logit).astype(float)
    error = np.sqrt(p * (1 - p))
    assert abs(v.mean() - p) < 4.5 * error / np.sqrt(v.size)
    assert np.abs(v.mean(0) - p).max() < 4.5 * error / np.sqrt(N)
    assert np.abs(v.mean(1) - p).max() < 5.5 * error / np.sqrt(128) + 1 / 128
    centred = (v - p) / error
    covariance = centred.T @ centred / N - np.eye(128)
    assert np.abs(covariance[~np.eye(128, dtype=bool)]).max() < 5.5 / np.sqrt(N)
    rows = (centred[1:] * centred[:-1]).mean(0)
    assert np.abs(rows).max() < 4.5 / np.sqrt(N)


@pytest.mark.parametrize("config", SIZES, ids=str)
def test_frames_lead_to_the_state_that_pytorch_finds(compiled: Kernel, config: ModelConfig) -> None:
    model = network(config)
    (frames,) = random_rolls(config, [50])
    u = model.initial_state(1)
    with torch.no_grad():
        for v in torch.from_numpy(frames).float():
            u = model.next_state(v[None], u)
    np.testing.assert_allclose(compiled.state_after(model.to_parameters(), frames), u[0].numpy(), atol=1e-4)
    assert not compiled.state_after(model.to_parameters(), frames[:0]).any()


def clamped_pieces(compiled: Kernel, config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Nine pieces of which a third of the cells is given, and their log weights."""
    source, kept = np.random.default_rng(5).random((2, 6, config.n_visible)) < 0.3
    clamp = Clamp(kept, source, penalties(8, kept))
    states = np.zeros((9, config.n_hidden_recurrent), np.float32)
    seeds = np.arange(9, dtype=np.uint64)
    pieces, log_weights = compiled.clamped(network(config).to_parameters(), seeds, states, 3, clamp, 8, 0.9)
    assert (pieces[:, kept] == source[kept]).all()
    return pieces, log_weights


@pytest.mark.parametrize("config", SIZES, ids=str)
def test_all_instruction_sets_draw_the_same_clamped_samples_with_the_same_weights(config: ModelConfig) -> None:
    found = [clamped_pieces(compiled, config) for compiled in kernels()]
    for pieces, log_weights in found:
        assert np.isfinite(log_weights).all()
        assert (pieces == found[0][0]).all()
        assert (log_weights == found[0][1]).all()


def test_all_instruction_sets_draw_the_same_samples() -> None:
    config = ModelConfig(n_hidden=203, n_hidden_recurrent=37, pitch_range=(0, 101))
    model = network(config)
    bv, bh = np.zeros((9, 101), np.float32), np.zeros((9, 203), np.float32)
    found = [k.chains(model.W.data.numpy(), np.zeros((9, 101), bool), bv, bh, 20, 1) for k in kernels()]
    assert all((v == found[0]).all() for v in found)


def test_the_update_is_the_same_on_one_thread(compiled: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SIZES[0]
    chunks = random_rolls(config, [20] * 30)
    many = computed(network(config), compiled, TrainingConfig(), chunks)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    one = computed(network(config), compiled, TrainingConfig(), chunks)
    assert (many[0] == one[0]).all()
    assert many[1:] == one[1:]


def test_arrays_of_another_type_are_refused(compiled: Kernel) -> None:
    parameters = network(SIZES[1]).to_parameters()
    wrong = Parameters(parameters.config, {**parameters.arrays, "W": parameters.arrays["W"].astype(np.float64)})
    with pytest.raises(TypeError, match="W must be contiguous"):
        compiled.state_after(wrong, np.zeros((1, parameters.config.n_visible), bool))


def test_a_clamp_of_another_size_is_refused(compiled: Kernel) -> None:
    parameters = network(SIZES[3]).to_parameters()
    cells = np.ones((2, 66), bool)
    states, seeds = np.zeros((1, 17), np.float32), np.zeros(1, np.uint64)
    with pytest.raises(ValueError, match="not one of this model"):
        compiled.clamped(parameters, seeds, states, 0, Clamp(cells, cells, penalties(1, cells)), 1, 1.0)
