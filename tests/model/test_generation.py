"""Sampling pieces."""

import numpy as np
import pytest
import torch

from model.config import ModelConfig
from model.generation import Stopped, generate
from model.rnn_rbm import RnnRbmNetwork

CONFIG = ModelConfig(n_hidden=5, n_hidden_recurrent=4, pitch_range=(60, 63))


@pytest.fixture
def network(device: torch.device) -> RnnRbmNetwork:
    network = RnnRbmNetwork(CONFIG)
    for parameter in network.parameters():
        parameter.data.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(parameter.numel()))
    return network.to(device)


def test_a_piece_has_the_length_asked_for_and_200_frames_by_default(network: RnnRbmNetwork) -> None:
    assert generate(network, seed=0).shape == (200, 3)
    assert generate(network, 7, seed=0).dtype == np.bool_


def test_the_same_seed_gives_the_same_piece_and_its_beginning_does_not_depend_on_its_length(
    network: RnnRbmNetwork,
) -> None:
    piece = generate(network, 60, seed=4)
    assert (generate(network, 60, seed=4) == piece).all()
    assert (generate(network, 30, seed=4) == piece[:30]).all()
    assert (generate(network, 60, seed=5) != piece).any()


def test_frames_are_distributed_as_the_conditional_rbm_says(network: RnnRbmNetwork) -> None:
    """The first frame's RBM has the biases of u_0; its states can be enumerated."""
    n = 1500
    first = np.concatenate([generate(network, 1, seed=seed) for seed in range(n)])
    frequency = np.bincount(first @ [4, 2, 1], minlength=8) / n
    states = torch.tensor([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]).to(network.W)
    with torch.no_grad():
        logits = states @ network.bv + torch.nn.functional.softplus(network.bh + states @ network.W).sum(1)
    expected = torch.softmax(logits, 0).cpu().numpy()
    assert np.abs(frequency - expected).max() < 5 * np.sqrt(0.25 / n)


def test_a_frame_drives_what_follows(network: RnnRbmNetwork, device: torch.device) -> None:
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


def test_temperature_divides_the_energy(network: RnnRbmNetwork) -> None:
    """Twice the parameters of the RBM at twice the temperature are the same distribution, and the same piece."""
    piece = generate(network, 40, seed=3)
    for name in ("W", "bv", "bh", "Wuv", "Wuh"):
        getattr(network, name).data *= 2
    assert (generate(network, 40, seed=3, temperature=2.0) == piece).all()
    assert (generate(network, 40, seed=3) != piece).any()


def test_low_temperature_sharpens(network: RnnRbmNetwork) -> None:
    def distinct(temperature: float) -> int:
        return len({generate(network, 1, seed=seed, temperature=temperature).tobytes() for seed in range(200)})

    assert distinct(0.05) < distinct(5.0) == 8


def test_the_caller_can_stop(network: RnnRbmNetwork) -> None:
    with pytest.raises(Stopped):
        generate(network, 100, seed=0, on_step=lambda step: step == 3)
