"""Filling in around given cells, by PyTorch on every device and by the compiled kernel for every instruction set."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from model.config import ModelConfig
from model.draw_options import DrawOptions
from model.errors import Stopped
from model.generation import clamped_chain
from model.infilling import penalties
from model.kernel import Clamp, Frames, kernels
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import Sampler, sampler
from tests.model.conftest import WAYS, Way, name_of

CONFIG = ModelConfig(n_hidden=5, n_hidden_recurrent=4, pitch_range=(60, 63))
STATES = np.array(list(product([False, True], repeat=3)))
NOTHING, LAST_KEY, TWO_KEYS, ALL = ([0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1])


@pytest.fixture
def network() -> RnnRbmNetwork:
    network = RnnRbmNetwork(CONFIG)
    for parameter in network.parameters():
        parameter.data.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(parameter.numel()))
    return network


Make = Callable[[RnnRbmNetwork], Sampler]


@pytest.fixture(params=WAYS, ids=name_of)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes the sampler of a network."""
    device, kernel = request.param
    return lambda network: sampler(network.to_parameters(), str(device), kernel)


@pytest.fixture
def sample(make: Make, network: RnnRbmNetwork) -> Sampler:
    return make(network)


def random_cells(seed: int, length: int, share: float, n_visible: int = 3) -> Frames:
    return np.random.default_rng(seed).random((length, n_visible)) < share


@pytest.mark.parametrize("share", [0.0, 0.2, 0.8, 1.0])
def test_kept_cells_stay_and_the_others_are_sampled(sample: Sampler, share: float) -> None:
    source, kept = random_cells(0, 60, 0.5), random_cells(1, 60, share)
    pieces = sample.infill(source, kept, [0, 1, 2], DrawOptions(particles=4))
    assert pieces.shape == (3, 60, 3)
    assert pieces.dtype == np.bool_
    assert (pieces[:, kept] == source[kept]).all()
    assert share == 1 or (pieces[:, ~kept] != source[~kept]).any(axis=1).all()


def test_kept_cells_stay_however_much_the_model_is_against_them(network: RnnRbmNetwork, make: Make) -> None:
    network.bv.data = torch.tensor([80.0, -80.0, 80.0])
    wrong = np.tile([False, True, False], (200, 1))
    assert (make(network).infill(wrong, np.ones_like(wrong), [0], DrawOptions(particles=2))[0] == wrong).all()


@pytest.mark.parametrize("kept", [(9, 4), (8, 3)], ids=str)
def test_cells_of_another_shape_are_refused(sample: Sampler, kept: tuple[int, int]) -> None:
    source = random_cells(0, 9, 0.5)
    with pytest.raises(ValueError, match="cannot be kept of a piece of shape"):
        sample.infill(source, np.ones(kept, bool), [0])


def test_the_same_seed_gives_the_same_piece_whatever_is_beside_it(sample: Sampler) -> None:
    source, kept = random_cells(0, 20, 0.5), random_cells(1, 20, 0.3)
    together = sample.infill(source, kept, [5, 6, 2**53 - 1], DrawOptions(particles=8))
    for seed, piece in zip([5, 6, 2**53 - 1], together, strict=True):
        assert (sample.infill(source, kept, [seed], DrawOptions(particles=8))[0] == piece).all()
    assert (together[0] != together[1]).any()


def test_a_seed_gives_the_same_piece_whatever_the_instruction_set() -> None:
    network = RnnRbmNetwork(ModelConfig(n_hidden=203, n_hidden_recurrent=37), torch.Generator().manual_seed(0))
    network.initialize_scaled(torch.Generator().manual_seed(1))
    source, kept = random_cells(0, 30, 0.1, 88), random_cells(1, 30, 0.3, 88)
    pieces = [sampler(network.to_parameters(), "cpu", kernel).infill(source, kept, [7, 8]) for kernel in kernels()]
    assert all((piece == pieces[0]).all() for piece in pieces)


@pytest.mark.parametrize("n", [1, 3])
def test_the_caller_can_stop_and_is_told_how_far_it_is(sample: Sampler, n: int) -> None:
    source = random_cells(0, 12, 0.5)
    asked: list[int] = []
    sample.infill(source, source, range(n), DrawOptions(particles=2, on_step=lambda step: bool(asked.append(step))))
    assert asked == sorted(asked)
    assert 0 <= asked[0] <= asked[-1] <= 12 * n
    with pytest.raises(Stopped):
        sample.infill(source, source, range(n), DrawOptions(particles=2, on_step=lambda _: True))


def frame_distribution(network: RnnRbmNetwork, u: torch.Tensor, temperature: float = 1.0) -> np.ndarray:
    """p(v_t) of all eight frames after a state (1, n_hidden_recurrent)."""
    v = torch.from_numpy(STATES).float()
    with torch.no_grad():
        bv, bh = network.conditional_biases(u)
        logits = v @ bv[0] / temperature + softplus((bh[0] + v @ network.W) / temperature).sum(1)
    return torch.softmax(logits, 0).double().numpy()


def clamped_frames(
    network: RnnRbmNetwork, way: Way, u: torch.Tensor, kept: np.ndarray, source: np.ndarray, n: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """n frames and their log weights, all after the same state (1, n_hidden_recurrent)."""
    costs = penalties(k, kept)
    if way.kernel is not None:
        states, streams = np.tile(u.numpy(), (n, 1)), np.arange(n, dtype=np.uint64)
        clamp = Clamp(kept[None], source[None], costs)
        rolls, log_weights = way.kernel.clamped(network.to_parameters(), streams, states, 0, clamp, k, 1.0)
        return rolls[:, 0], log_weights
    generator = torch.Generator(way.device).manual_seed(0)
    with torch.no_grad():
        biases = [bias.expand(n, -1).to(way.device) for bias in network.conditional_biases(u)]
        v, weights = clamped_chain(network.W.to(way.device), *biases, kept, source, costs, k, generator)
    return v.bool().cpu().numpy(), weights.cpu().numpy()


@pytest.mark.parametrize("keys", [NOTHING, LAST_KEY, TWO_KEYS, ALL], ids=str)
def test_a_frame_is_distributed_as_enumeration_says_given_its_kept_cells(
    network: RnnRbmNetwork, way: Way, keys: list[int]
) -> None:
    """Weighted frames have the conditional distribution, and the mean weight is the probability of the kept cells."""
    n, kept, source = 40_000, np.array(keys, bool), np.array([False, True, True])
    u = torch.tanh(torch.randn(1, 4, generator=torch.Generator().manual_seed(9)))
    frames, log_weights = clamped_frames(network, way, u, kept, source, n, k=30)
    weights = np.exp(log_weights)
    p = frame_distribution(network, u)
    given = (STATES[:, kept] == source[kept]).all(axis=1)

    assert weights.mean() == pytest.approx(p[given].sum(), abs=5 * weights.std() / np.sqrt(n) + 1e-6)
    effective = weights.sum() ** 2 / np.square(weights).sum()
    frequency = np.bincount(frames @ [4, 2, 1], weights=weights, minlength=8) / weights.sum()
    expected = np.where(given, p, 0) / p[given].sum()
    assert np.abs(frequency - expected).max() < 5 * np.sqrt(0.25 / effective)


def test_weights_of_kept_cells_vary_little(network: RnnRbmNetwork, way: Way) -> None:
    """With as many steps as generation takes, nearly all the particles that differ in nothing else go on."""
    kept, source = np.array(ALL, bool), np.array([False, True, True])
    _, log_weights = clamped_frames(network, way, torch.zeros(1, 4), kept, source, 2000, k=25)
    assert log_weights.std() < 0.4


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_free_frame_is_distributed_as_enumeration_says_given_the_one_after_it(
    network: RnnRbmNetwork, make: Make, temperature: float
) -> None:
    """p(v_0 | v_1) by Bayes' rule over all eight frames; a single particle draws from p(v_0)."""
    network.Wvu.data[:, :3] += 3 * torch.eye(3)
    network.Wuv.data[:3] += 3 * torch.eye(3)
    source = np.ones((2, 3), bool)
    kept = np.array([NOTHING, ALL], bool)
    u0 = network.initial_state(1)
    prior = frame_distribution(network, u0, temperature)
    with torch.no_grad():
        after = [network.next_state(torch.from_numpy(v).float()[None], u0) for v in STATES]
    likelihood = np.array([frame_distribution(network, u, temperature)[0b111] for u in after])
    posterior = prior * likelihood / (prior @ likelihood)

    n = 500
    pieces = make(network).infill(source, kept, range(n), DrawOptions(temperature=temperature, particles=60))
    frequency = np.bincount(pieces[:, 0] @ [4, 2, 1], minlength=8) / n
    tolerance = 5 * np.sqrt(posterior * (1 - posterior) / n) + 0.01
    assert (np.abs(frequency - posterior) < tolerance).all()
    assert (np.abs(prior - posterior) > 2 * tolerance).any()


def test_what_is_kept_far_on_is_heard_from_the_beginning(network: RnnRbmNetwork, make: Make) -> None:
    """With biases that copy, and a first frame of fair coins: the last frame says what the first was."""
    for parameter in network.parameters():
        parameter.data.zero_()
    network.Wvu.data[0, 0], network.bu.data[0] = 20, -10  # u is 1 after key 0, -1 after none, and 0 at first
    network.Wuv.data[0, 0] = 5
    network.bv.data[1:] = -20
    source, kept = np.zeros((8, 3), bool), np.zeros((8, 3), bool)
    kept[-1, 0] = True
    for sounds in (True, False):
        source[-1, 0] = sounds
        pieces = make(network).infill(source, kept, range(100), DrawOptions(particles=16))
        assert (pieces[:, 0, 0] == sounds).mean() > 0.9
    alone = make(network).infill(source, kept, range(100), DrawOptions(particles=1))
    assert 0.3 < alone[:, 0, 0].mean() < 0.7
