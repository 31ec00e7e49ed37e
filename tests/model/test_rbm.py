"""The RBM against enumeration: every state of a tiny one can be listed."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from model.rbm import bernoulli, contrastive_divergence, free_energy, gibbs_chain, pseudo_log_likelihood

Rbm = tuple[Tensor, Tensor, Tensor]


def binary_states(n: int) -> Tensor:
    return torch.tensor(list(product([0.0, 1.0], repeat=n)))


@pytest.fixture
def rbm(device: torch.device) -> Rbm:
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(5, 4, generator=generator)
    bv, bh = torch.randn(5, generator=generator), torch.randn(4, generator=generator)
    return W.to(device), bv.to(device), bh.to(device)


def enumerated_distribution(W: Tensor, bv: Tensor, bh: Tensor) -> Tensor:
    """p(v) of all visible states in order, by summing exp(-E(v, h)) over every hidden state."""
    v, h = binary_states(len(bv)).to(W), binary_states(len(bh)).to(W)
    energy = -(v @ W @ h.T + (v @ bv)[:, None] + h @ bh)
    return torch.exp(-energy).sum(1) / torch.exp(-energy).sum()


def test_free_energy_is_the_log_sum_over_all_hidden_states(rbm: Rbm) -> None:
    W, bv, bh = rbm
    v, h = binary_states(5).to(W), binary_states(4).to(W)
    log_sum = torch.logsumexp(v @ W @ h.T + (v @ bv)[:, None] + h @ bh, dim=1)
    torch.testing.assert_close(-free_energy(v, W, bv, bh), log_sum, rtol=1e-5, atol=1e-5)


def test_free_energy_takes_other_biases_for_every_row(rbm: Rbm) -> None:
    W, bv, bh = rbm
    v = binary_states(5).to(W)
    scale = torch.linspace(-1, 1, len(v), device=W.device)[:, None]
    together = free_energy(v, W, scale * bv, scale * bh)
    one_by_one = torch.stack([free_energy(v[i], W, scale[i] * bv, scale[i] * bh) for i in range(len(v))])
    torch.testing.assert_close(together, one_by_one)


def test_the_gradient_of_the_cost_is_the_scalar_cd_rule(rbm: Rbm) -> None:
    """dW_ij = <v_i p(h_j|v)>_sample - <v_i p(h_j|v)>_data and so on, in plain loops."""
    W, bv, bh = (parameter.clone().requires_grad_() for parameter in rbm)
    generator = torch.Generator(W.device).manual_seed(0)
    v = binary_states(5).to(W)[7:10]
    v_sample = gibbs_chain(v, W, bv.expand(3, 5), bh.expand(3, 4), 3, generator)
    contrastive_divergence(v, v_sample, W, bv, bh).mean().backward()

    expected = {"W": np.zeros((5, 4)), "bv": np.zeros(5), "bh": np.zeros(4)}
    w, b = W.detach().cpu().double().numpy(), bh.detach().cpu().double().numpy()
    for sign, rows in ((-1.0, v), (1.0, v_sample)):
        for row in rows.cpu().double().numpy():
            for j in range(4):
                p = 1 / (1 + np.exp(-(b[j] + sum(row[i] * w[i, j] for i in range(5)))))
                expected["bh"][j] += sign * p / 3
                for i in range(5):
                    expected["W"][i, j] += sign * row[i] * p / 3
            expected["bv"] += sign * row / 3
    for name, parameter in (("W", W), ("bv", bv), ("bh", bh)):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.cpu().numpy(), expected[name], rtol=1e-4, atol=1e-6)


def test_no_gradient_flows_through_the_negative_particles(rbm: Rbm) -> None:
    W, bv, bh = rbm
    v_sample = torch.full((1, 5), 0.5, device=W.device, requires_grad=True)
    contrastive_divergence(v_sample.detach(), v_sample, W.requires_grad_(), bv, bh).sum().backward()
    assert v_sample.grad is None


def test_a_long_gibbs_chain_visits_states_as_often_as_enumeration_says(rbm: Rbm) -> None:
    W, bv, bh = rbm
    generator = torch.Generator(W.device).manual_seed(1)
    v = gibbs_chain(torch.zeros(40_000, 5, device=W.device), W, bv, bh, 60, generator)
    index = (v @ (2.0 ** torch.arange(4, -1, -1, device=W.device))).long()
    frequency = torch.bincount(index, minlength=32) / len(v)
    expected = enumerated_distribution(W, bv, bh)
    # standard error of a frequency is at most 0.0025: 5 of them
    assert (frequency - expected).abs().max() < 5 * (expected * (1 - expected) / len(v)).sqrt().max()


def test_a_gibbs_chain_takes_other_biases_for_every_row(device: torch.device) -> None:
    """Rows with huge visible biases of either sign end all on and all off."""
    W = torch.zeros(5, 4, device=device)
    bv = torch.tensor([[50.0], [-50.0]], device=device).expand(2, 5)
    v = gibbs_chain(torch.zeros(2, 5, device=device), W, bv, torch.zeros(2, 4, device=device), 1,
                    torch.Generator(device).manual_seed(0))  # fmt: skip
    assert v.tolist() == [[1.0] * 5, [0.0] * 5]


def test_the_chain_leaves_its_start_untouched(rbm: Rbm) -> None:
    W, bv, bh = rbm
    v = torch.zeros(3, 5, device=W.device)
    gibbs_chain(v, W, bv, bh, 5, torch.Generator(W.device).manual_seed(0))
    assert not v.any()


def test_bernoulli_units_are_on_as_often_as_their_logits_say(device: torch.device) -> None:
    logits = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0], device=device)
    drawn = bernoulli(logits.expand(200_000, 5), torch.Generator(device).manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), torch.sigmoid(logits), rtol=0, atol=0.006)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_the_monitor_is_finite_for_any_finite_weights(rbm: Rbm, scale: float) -> None:
    W, bv, bh = (scale * parameter for parameter in rbm)
    v = binary_states(5).to(W)
    monitor = pseudo_log_likelihood(v, 1 - v, W, bv, bh, torch.Generator(W.device).manual_seed(0))
    assert monitor.shape == (32,)
    assert monitor.isfinite().all()
    assert (monitor <= 0).all()


def test_the_monitor_of_a_model_without_weights_is_that_of_fair_coins(device: torch.device) -> None:
    v = binary_states(3).to(device)
    zero = torch.zeros(3, 2, device=device)
    monitor = pseudo_log_likelihood(v, v, zero, zero[:, 0], zero[0], torch.Generator(device).manual_seed(0))
    torch.testing.assert_close(monitor, torch.full((8,), -3 * np.log(2.0), device=device).float())
