"""The fused recurrence: on a GPU where there is one, elsewhere under Triton's interpreter (see conftest.py)."""

import logging
import sys

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.cuda import loops as module
from model.cuda import trial
from model.cuda.loops import FusedLoops, settled_loops, tried_loops
from model.rnn_rbm import PLAIN, Loops, PlainLoops, RnnRbmNetwork, recurrence

pytest.importorskip("triton", reason="Triton has no wheel for this machine, and workers then take the plain recurrence")
from model.cuda.recurrence import fused_deltas, fused_states

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FUSED = FusedLoops(fused_states, fused_deltas, 256)


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "n_sequences", "n_times"), [(6, 3, 7), (100, 2, 20), (128, 1, 1), (200, 2, 5)])
def test_the_fused_recurrence_and_its_gradients_are_the_plain_ones(n: int, n_sequences: int, n_times: int) -> None:
    results = []
    for loops in (PLAIN, FUSED):
        values = drawn(n_times, n_sequences, n), drawn(n, n, seed=1, scale=0.1), drawn(n_sequences, n, seed=2)
        leaves = [value.to(DEVICE).requires_grad_() for value in values]
        states = recurrence(*leaves, loops)
        states.backward(drawn(n_times, n_sequences, n, seed=3).to(DEVICE))  # type: ignore[no-untyped-call]
        results.append([states.detach(), *(leaf.grad for leaf in leaves)])
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 0.1, 0.19, 0.21, 1.0, 20.0, 200.0])
def test_states_are_hyperbolic_tangents_however_small_or_large(size: float) -> None:
    drive = size * torch.linspace(-1, 1, 40, device=DEVICE).reshape(1, 1, 40)
    states = fused_states(drive, torch.zeros(40, 40, device=DEVICE), torch.zeros(1, 40, device=DEVICE))
    torch.testing.assert_close(states, torch.tanh(drive), rtol=1e-5, atol=0)


@pytest.mark.parametrize("learn_u0", [False, True])
def test_biases_of_frames_are_those_of_the_plain_recurrence(learn_u0: bool) -> None:
    config = ModelConfig(n_hidden=9, n_hidden_recurrent=20, pitch_range=(60, 72), learn_u0=learn_u0)
    network = RnnRbmNetwork(config)
    for seed, parameter in enumerate(network.parameters()):
        parameter.data = drawn(*parameter.shape, seed=seed, scale=0.3)
    network = network.to(DEVICE)
    v = (drawn(6, 4, 12) > 1).float().to(DEVICE)
    for fused, plain in zip(network.biases_of(v, FUSED), network.biases_of(v), strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)


# --- the choice at a worker's start ---------------------------------------------------------------------------------


class Wrong(PlainLoops):
    """Takes the gradient for larger than it is."""

    def deltas(self, grad: Tensor, states: Tensor, Wuu: Tensor) -> Tensor:
        return 1.01 * super().deltas(grad, states, Wuu)


class Broken(PlainLoops):
    """Has no room for many units."""

    def states(self, drive: Tensor, Wuu: Tensor, u0: Tensor) -> Tensor:
        if len(Wuu) > 100:
            raise RuntimeError("out of resource: registers")
        return super().states(drive, Wuu, u0)


@pytest.fixture
def slower_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes all loops look faster than the plain ones."""
    times = iter([0.001, 0.002] * 10)
    monkeypatch.setattr(trial, "seconds", lambda *_: next(times))


def within(loops: Loops, most: int) -> FusedLoops:
    return FusedLoops(loops.states, loops.deltas, most)


@pytest.mark.usefixtures("slower_plain")
def test_a_recurrence_that_is_right_and_faster_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert isinstance(tried_loops(lambda most: within(PlainLoops(), most), DEVICE), FusedLoops)
    assert "fused recurrence on" in caplog.text
    assert "256 units" in caplog.text


@pytest.mark.usefixtures("slower_plain")
def test_a_wrong_recurrence_is_not_taken_however_fast(caplog: pytest.LogCaptureFixture) -> None:
    assert tried_loops(lambda most: within(Wrong(), most), DEVICE) is PLAIN
    assert "gradients differ by" in caplog.text


@pytest.mark.usefixtures("slower_plain")
def test_a_recurrence_that_has_no_room_for_many_units_is_taken_for_fewer(caplog: pytest.LogCaptureFixture) -> None:
    found = tried_loops(lambda most: within(Broken(), most), DEVICE)
    assert "for 200 units: the fused one does not run: RuntimeError: out of resource" in caplog.text
    drive, Wuu = drawn(3, 1, 150).to(DEVICE), drawn(150, 150, scale=0.1).to(DEVICE)
    states = found.states(drive, Wuu, drive[0])
    assert (states == PLAIN.states(drive, Wuu, drive[0])).all()
    assert (found.deltas(drive, states, Wuu) == PLAIN.deltas(drive, states, Wuu)).all()


def test_a_slow_recurrence_is_not_taken(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.002, 0.001])
    monkeypatch.setattr(trial, "seconds", lambda *_: next(times))
    assert tried_loops(lambda most: within(PlainLoops(), most), DEVICE) is PLAIN
    assert "takes 2.00 ms and the plain one 1.00" in caplog.text


def test_without_triton_the_plain_recurrence_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "model.cuda.recurrence")
    assert settled_loops(DEVICE) is PLAIN


def test_the_kernel_itself_is_tried_and_not_taken_where_it_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the interpreter it is right, and slow."""
    monkeypatch.setattr(trial, "TIMES", 1)
    if DEVICE.type == "cpu":
        monkeypatch.setattr(module, "TRIED_FRAMES", 3)
        monkeypatch.setattr(module, "TRIED_SEQUENCES", 2)
    assert isinstance(settled_loops(DEVICE), FusedLoops if DEVICE.type == "cuda" else PlainLoops)
