"""The recurrence and the time-dependent biases against a plain NumPy loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.config import ModelConfig
from model.parameters import NAMES
from model.rnn_rbm import RnnRbmNetwork, recurrence

CONFIG = ModelConfig(n_hidden=7, n_hidden_recurrent=6, pitch_range=(60, 65))


@pytest.fixture(params=[False, True], ids=["zero", "u0"])
def network(request: pytest.FixtureRequest, device: torch.device) -> RnnRbmNetwork:
    """With the tutorial's first state, and with one that is learned."""
    network = RnnRbmNetwork(replace(CONFIG, learn_u0=request.param))
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        parameter.data.normal_(0.0, 0.7, generator=generator)
    return network.to(device)


def random_rolls(n_frames: int, n_sequences: int, device: torch.device) -> torch.Tensor:
    u = torch.rand(n_frames, n_sequences, CONFIG.n_visible, generator=torch.Generator().manual_seed(9))
    return (u < 0.3).float().to(device)


def test_biases_of_all_frames_equal_the_tutorials_loop(network: RnnRbmNetwork, device: torch.device) -> None:
    v = random_rolls(12, 3, device)
    bv_t, bh_t = network.biases_of(v)
    p = {name: getattr(network, name).detach().cpu().double().numpy() for name in NAMES}
    for b in range(3):
        u = network.to_parameters().u0.astype(np.float64)
        for t, frame in enumerate(v[:, b].cpu().double().numpy()):
            np.testing.assert_allclose(bv_t[t, b].detach().cpu(), p["bv"] + u @ p["Wuv"], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(bh_t[t, b].detach().cpu(), p["bh"] + u @ p["Wuh"], rtol=1e-4, atol=1e-5)
            u = np.tanh(p["bu"] + frame @ p["Wvu"] + u @ p["Wuu"])


def test_generation_advances_by_the_same_recurrence(network: RnnRbmNetwork, device: torch.device) -> None:
    v = random_rolls(12, 2, device)
    bv_t, bh_t = network.biases_of(v)
    u = network.initial_state(2)
    for t in range(12):
        bv, bh = network.conditional_biases(u)
        torch.testing.assert_close(bv, bv_t[t])
        torch.testing.assert_close(bh, bh_t[t])
        u = network.next_state(v[t], u)


def test_a_frame_changes_no_bias_before_or_at_itself(network: RnnRbmNetwork, device: torch.device) -> None:
    v = random_rolls(10, 1, device)
    changed = v.clone()
    changed[6] = 1 - changed[6]
    for before, after in zip(network.biases_of(v), network.biases_of(changed), strict=True):
        assert torch.equal(before[:7], after[:7])
        assert not torch.equal(before[7:], after[7:])


def test_back_propagation_through_time_is_the_derivative_of_the_recurrence(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((6, 2, 4), (4, 4), (2, 4))  # drive, Wuu, u0
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    assert torch.autograd.gradcheck(recurrence, [value.to(device).requires_grad_() for value in values])


def test_initial_values_are_the_tutorials() -> None:
    network = RnnRbmNetwork(ModelConfig(), torch.Generator().manual_seed(0))
    assert network.W.std().item() == pytest.approx(0.01, rel=0.05)
    for name in ("Wuh", "Wuv", "Wvu", "Wuu"):
        assert getattr(network, name).std().item() == pytest.approx(0.0001, rel=0.05)
    for name in ("bv", "bh", "bu"):
        assert not getattr(network, name).any()
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == {
        "W": (88, 150), "bv": (88,), "bh": (150,), "Wuh": (100, 150), "Wuv": (100, 88), "Wvu": (88, 100),
        "Wuu": (100, 100), "bu": (100,),
    }  # fmt: skip
