"""Sampling pieces, by PyTorch on every device and by the compiled kernel for every instruction set."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from model.config import ModelConfig
from model.draw_options import DrawOptions
from model.errors import Stopped
from model.kernel import Frames, Kernel, kernels
from model.pianoroll import Roll
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import sampler
from tests.model.conftest import WAYS, Way, name_of

CONFIG = ModelConfig(n_hidden=5, n_hidden_recurrent=4, pitch_range=(60, 63))


@pytest.fixture
def network() -> RnnRbmNetwork:
    network = RnnRbmNetwork(CONFIG)
    for parameter in network.parameters():
        parameter.data.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(parameter.numel()))
    return network


Generate = Callable[..., Frames]


@pytest.fixture(params=WAYS, ids=name_of)
def generate_all(request: pytest.FixtureRequest) -> Generate:
    """Samples several pieces of a network (pieces, length, n_visible)."""
    device, kernel = request.param

    def pieces(
        network: RnnRbmNetwork, length: int, seeds: Sequence[int], *, primer: Roll | None = None, **options: Any
    ) -> Frames:
        sample = sampler(network.to_parameters(), str(device), kernel)
        return sample.generate(length, seeds, DrawOptions(**options), primer=primer)

    return pieces


@pytest.fixture
def generate(generate_all: Generate) -> Generate:
    """Samples one piece of a network (length, n_visible)."""

    def piece(network: RnnRbmNetwork, length: int = 200, *, seed: int, **options: Any) -> Frames:
        return generate_all(network, length, [seed], **options)[0]

    return piece


def test_a_piece_has_the_length_asked_for(network: RnnRbmNetwork, generate: Generate) -> None:
    assert generate(network, 200, seed=0).shape == (200, 3)
    assert generate(network, 7, seed=0).dtype == np.bool_


def test_a_first_state_that_was_learned_is_where_pieces_begin(generate: Generate) -> None:
    """The state only counts down: u0 sounds the first key, its successor the second, and so with a primer before."""
    network = RnnRbmNetwork(ModelConfig(n_hidden=2, n_hidden_recurrent=2, pitch_range=(60, 62), learn_u0=True))
    for parameter in network.parameters():
        parameter.data.zero_()
    network.u0.data[0] = 1.0
    network.Wuu.data[0, 1] = 9.0
    network.Wuv.data[:] = 100 * torch.eye(2)
    network.bv.data.fill_(-50.0)
    expected = np.array([[1, 0], [0, 1], [0, 0]], bool)
    np.testing.assert_array_equal(generate(network, 3, seed=0), expected)
    np.testing.assert_array_equal(generate(network, 2, seed=0, primer=expected[:1]), expected)


def test_the_same_seed_gives_the_same_piece_and_its_beginning_does_not_depend_on_its_length(
    network: RnnRbmNetwork, generate: Generate
) -> None:
    piece = generate(network, 60, seed=4)
    assert (generate(network, 60, seed=4) == piece).all()
    assert (generate(network, 30, seed=4) == piece[:30]).all()
    assert (generate(network, 60, seed=5) != piece).any()


def test_frames_are_distributed_as_the_conditional_rbm_says(network: RnnRbmNetwork, generate: Generate) -> None:
    """The first frame's RBM has the biases of u_0; its states can be enumerated."""
    n = 1500
    first = np.concatenate([generate(network, 1, seed=seed) for seed in range(n)])
    frequency = np.bincount(first @ [4, 2, 1], minlength=8) / n
    states = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]).to(network.W)
    with torch.no_grad():
        logits = states @ network.bv + torch.nn.functional.softplus(network.bh + states @ network.W).sum(1)
    expected = torch.softmax(logits, 0).cpu().numpy()
    assert np.abs(frequency - expected).max() < 5 * np.sqrt(0.25 / n)


def test_a_frame_drives_what_follows(network: RnnRbmNetwork, generate: Generate) -> None:
    """With biases that copy: whatever was on is on in the next frame."""
    for parameter in network.parameters():
        parameter.data.zero_()
    network.Wvu.data[:, :3] = 20 * torch.eye(3)  # u_t holds v_t
    network.Wuv.data[:3] = 40 * torch.eye(3)
    network.bv.data.fill_(-20)
    network.bu.data[:3] = -10
    piece = generate(network, 5, seed=0)
    assert not piece.any()
    network.bu.data[1] = 10  # key 1 switches on after the first frame, and stays
    piece = generate(network, 5, seed=0)
    assert piece[1:, 1].all()
    assert not piece[:, [0, 2]].any()


def test_temperature_divides_the_energy(network: RnnRbmNetwork, generate: Generate) -> None:
    """Twice the parameters of the RBM at twice the temperature are the same distribution, and the same piece."""
    piece = generate(network, 40, seed=3)
    for name in ("W", "bv", "bh", "Wuv", "Wuh"):
        getattr(network, name).data *= 2
    assert (generate(network, 40, seed=3, temperature=2.0) == piece).all()
    assert (generate(network, 40, seed=3) != piece).any()


def test_low_temperature_sharpens(network: RnnRbmNetwork, generate: Generate) -> None:
    def distinct(temperature: float) -> int:
        return len({generate(network, 1, seed=seed, temperature=temperature).tobytes() for seed in range(200)})

    assert distinct(0.05) < distinct(5.0) == 8


def test_the_caller_can_stop(network: RnnRbmNetwork, generate: Generate) -> None:
    with pytest.raises(Stopped):
        generate(network, 100, seed=0, on_step=lambda _: True)


def copying(network: RnnRbmNetwork) -> RnnRbmNetwork:
    """The same network with parameters that keep on what is on, and off what is off."""
    for parameter in network.parameters():
        parameter.data.zero_()
    network.Wvu.data[:, :3] = 20 * torch.eye(3)  # u_t is 1 where v_t is on, and -1 where it is off
    network.bu.data[:3] = -10
    network.Wuv.data[:3] = 40 * torch.eye(3)
    return network


def test_a_primer_is_the_beginning_of_the_piece_and_drives_what_follows(
    network: RnnRbmNetwork, generate: Generate
) -> None:
    primer = np.array([[1, 1, 1], [0, 0, 1], [1, 0, 1]], bool)
    piece = generate(copying(network), 20, seed=0, primer=primer)
    assert piece.shape == (23, 3)
    assert (piece[:3] == primer).all()
    assert (piece[3:] == primer[-1]).all()


def test_all_frames_of_a_primer_are_heard(network: RnnRbmNetwork, generate: Generate) -> None:
    """With a recurrence that latches: the first frame decides, however many silent ones follow."""
    copying(network).Wuu.data[:3, :3] = 40 * torch.eye(3)
    network.bu.data[:3] = 0
    network.Wvu.data[:, :3] = 20 * torch.eye(3)
    primer = np.zeros((30, 3), bool)
    primer[0, 1] = True
    assert generate(network, 5, seed=0, primer=primer)[30:, 1].all()


def test_all_pieces_go_on_from_one_primer_and_each_by_its_seed(network: RnnRbmNetwork, generate_all: Generate) -> None:
    primer = np.random.default_rng(0).random((9, 3)) < 0.5
    asked: list[int] = []
    pieces = generate_all(network, 12, [3, 4], primer=primer, on_step=lambda step: bool(asked.append(step)))
    assert pieces.shape == (2, 21, 3)
    assert (pieces[:, :9] == primer).all()
    assert (pieces[0, 9:] != pieces[1, 9:]).any()
    assert (generate_all(network, 12, [4], primer=primer)[0] == pieces[1]).all()
    assert 0 <= max(asked) <= 24


def test_a_primer_of_no_frames_is_none(network: RnnRbmNetwork, generate: Generate) -> None:
    nothing = np.zeros((0, 3), bool)
    assert (generate(network, 30, seed=2, primer=nothing) == generate(network, 30, seed=2)).all()


@pytest.mark.parametrize("compiled", kernels(), ids=lambda kernel: kernel.name)
def test_a_piece_continued_from_its_own_beginning_with_its_seed_is_itself(
    network: RnnRbmNetwork, compiled: Kernel
) -> None:
    sample = sampler(network.to_parameters(), "cpu", compiled)
    piece = sample.generate(40, [6])
    assert (sample.generate(25, [6], primer=piece[0, :15]) == piece).all()


def test_a_piece_depends_on_its_seed_and_not_on_those_beside_it(network: RnnRbmNetwork, way: Way) -> None:
    sample = sampler(network.to_parameters(), str(way.device), way.kernel)
    seeds = [*range(17), 2**53 - 1]
    asked: list[int] = []
    together = sample.generate(12, seeds, DrawOptions(on_step=lambda step: bool(asked.append(step))))
    assert together.shape == (18, 12, 3)
    for seed, piece in zip(seeds, together, strict=True):
        assert (sample.generate(12, [seed])[0] == piece).all()
    assert asked


def test_a_seed_gives_the_same_piece_whatever_the_instruction_set() -> None:
    """Real sizes, so that every width of vector has blocks and remainders."""
    network = RnnRbmNetwork(ModelConfig(n_hidden=203, n_hidden_recurrent=37), torch.Generator().manual_seed(0))
    network.initialize_scaled(torch.Generator().manual_seed(1))
    primer = np.random.default_rng(0).random((5, 88)) < 0.1
    for start in (None, primer):
        samplers = [sampler(network.to_parameters(), "cpu", kernel) for kernel in kernels()]
        pieces = [sample.generate(30, [7, 8], primer=start) for sample in samplers]
        assert all((piece == pieces[0]).all() for piece in pieces)


def test_a_batch_can_be_stopped(network: RnnRbmNetwork, way: Way) -> None:
    sample = sampler(network.to_parameters(), str(way.device), way.kernel)
    with pytest.raises(Stopped):
        sample.generate(10_000, range(40), DrawOptions(on_step=lambda step: step > 0))
