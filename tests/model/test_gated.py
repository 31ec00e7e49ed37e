"""The models with a gated recurrence: the compiled kernel against PyTorch, causality, probabilities that sum to 1."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from model import gated_plain
from model.config import ModelConfig
from model.gated import Contexts, Dropout, GatedNetwork, context_of
from model.kernel import Kernel
from model.kernel.gated import GatedPieces
from model.kernel.gated import contexts as compiled_contexts
from model.memory import Memory, contexts
from model.nade import nade_logits
from model.pianoroll import Roll
from model.rbm import contrastive_divergence, gibbs_chain, pseudo_log_likelihood
from model.tied import TiedInput, plain_tied, tied

SMALL = ModelConfig(
    kind="lstm-nade", n_hidden=7, n_hidden_recurrent=9, n_channels=16, pitch_range=(60, 66), dt=None, steps_per_beat=1
)
PIANO = replace(SMALL, n_hidden=20, n_hidden_recurrent=24, pitch_range=(21, 109))
CONFIGS = [
    replace(config, kind=kind, n_channels=channels)
    for config in (SMALL, PIANO)
    for kind in ("lstm-rbm", "lstm-nade")
    for channels in (0, 16)
]


def network_of(config: ModelConfig, seed: int = 0) -> GatedNetwork:
    """A network whose every part matters."""
    generator = torch.Generator().manual_seed(seed)
    network = GatedNetwork(config, generator)
    for name, value in network.named_parameters():
        std = 0.5 if name in ("W", "U", "Wuv", "Wuh", "bh") else 0.2
        value.data += torch.empty_like(value).normal_(0, std, generator=generator)
    network.bv.data -= 1
    return network


def piece(config: ModelConfig, frames: int, seed: int = 0) -> Roll:
    """Notes of which some stretches come again, with a slip."""
    random = np.random.default_rng(seed)
    theme = random.random((frames // 3, config.n_visible)) < 3 / config.n_visible
    roll = np.concatenate([theme, random.random((frames - 3 * len(theme) + 4, config.n_visible)) < 0.1, theme, theme])
    roll[len(roll) // 2, 2] ^= True
    return roll[:frames]


def plain_biases(network: GatedNetwork, roll: Roll) -> tuple[torch.Tensor, torch.Tensor]:
    bv, bh = gated_plain.biases(network.to_parameters(), roll)
    return torch.from_numpy(bv), torch.from_numpy(bh)


def test_compiled_contexts_are_those_of_the_memory(compiled: Kernel) -> None:
    for config in (SMALL, PIANO):
        for expected, found in zip(
            contexts(piece(config, 300)), compiled_contexts(compiled, piece(config, 300)), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("config", CONFIGS)
def test_compiled_conditionals_are_pytorchs(compiled: Kernel, config: ModelConfig) -> None:
    network = network_of(config)
    pieces = GatedPieces(network.to_parameters(), compiled)
    for length in (1, 80):
        roll = piece(config, length)
        if config.kind == "lstm-nade":
            np.testing.assert_allclose(
                pieces.log_probabilities(roll),
                gated_plain.log_probabilities(network.to_parameters(), roll),
                rtol=1e-4,
                atol=1e-4,
            )
        else:
            for found, expected in zip(pieces.biases(roll), plain_biases(network, roll), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def said_and_learned(network: GatedNetwork, roll: Roll) -> list[torch.Tensor]:
    """What a network says of a piece, and the gradient of a sum of it in all parameters; where the network is."""
    device, generator = network.W.device, torch.Generator().manual_seed(2)
    context = Contexts(*(part.to(device) for part in context_of(*contexts(roll))))
    v = torch.from_numpy(roll).to(network.W)
    *biases, last = network.biases_of(context, v[:, None], network.initial_state(1))
    bv, bh = (bias[:, 0] for bias in biases)
    said = [bv, bh]
    if network.config.kind == "lstm-nade":
        said.append(nade_logits(v, network.W, network.U, bv, bh))
    weighted = [(part * torch.randn(part.shape, generator=generator).to(device)).sum() for part in said]
    torch.stack(weighted).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return [part.detach() for part in (*said, *last, *gradients)]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_network_says_and_learns_the_same_on_every_device(config: ModelConfig, device: torch.device) -> None:
    expected = said_and_learned(network_of(config), piece(config, 60))
    found = said_and_learned(network_of(config).to(device), piece(config, 60))
    assert all(part.device == device for part in found)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_nothing_is_made_on_another_device_than_the_networks(config: ModelConfig) -> None:
    """PyTorch's device without numbers refuses those of the CPU, as a GPU would: so it shows without one."""
    device, generator = torch.device("meta"), torch.Generator()
    network = network_of(config).to(device)
    on_cpu = context_of(*contexts(piece(config, 9)))
    context, v = Contexts(*(part.to(device) for part in on_cpu)), torch.zeros(9, 1, config.n_visible, device=device)
    shares = Dropout(0.1, 0.1, 0.1)
    bv, bh, last = network.biases_of(context, v, network.initial_state(1), None, shares, None)
    given = [part.flatten(0, 1) for part in (bv, bh)]
    sample = gibbs_chain(torch.zeros_like(v[:, 0]), network.W.detach(), *given, 2, generator)
    cost = contrastive_divergence(v[:, 0], sample, network.W, *given).mean()
    monitor = pseudo_log_likelihood(v[:, 0], sample, network.W, *given, generator)
    cost.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert {part.device for part in (bv, bh, *last, cost, monitor, *gradients)} == {device}
    with pytest.raises(RuntimeError, match="not on the expected device"):
        network.biases_of(on_cpu, v, network.initial_state(1))


@pytest.mark.parametrize("below", [False, True])
def test_the_compiled_layer_and_its_gradient_are_pytorchs(compiled: Kernel, below: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    network = network_of(PIANO)
    parameters = {name: value for name, value in network.named_parameters() if below or name != "below"}
    planes = torch.from_numpy(contexts(piece(PIANO, 30))[0])
    v = torch.from_numpy(piece(PIANO, 30)).float()
    gates = torch.randn(30, 32, generator=generator, requires_grad=True)
    kept = [(torch.rand(30, 16, generator=generator) < 0.8) / 0.8 for _ in "ab"]
    weights = torch.randn(30, 88, generator=generator)

    def outcome(layer: torch.Tensor) -> list[torch.Tensor]:
        network.zero_grad()
        gates.grad = None
        (layer * weights).sum().backward()  # type: ignore[no-untyped-call]
        assert gates.grad is not None
        gradients = [value.grad for value in parameters.values() if value.grad is not None]
        return [layer.detach(), gates.grad, *gradients]

    given = TiedInput(planes, v, gates, *kept)
    found, expected = outcome(tied(parameters, given, compiled)), outcome(plain_tied(parameters, given))
    assert len(found) == len(expected) == 7 + below
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def test_the_frames_of_a_small_model_have_probabilities_that_sum_to_1() -> None:
    parameters = network_of(SMALL).to_parameters()
    before = piece(SMALL, 40)
    frames = np.array(list(product([False, True], repeat=6)))
    last = [gated_plain.log_probabilities(parameters, np.concatenate([before, frame[None]]))[-1] for frame in frames]
    assert np.exp(last).sum() == pytest.approx(1, abs=1e-5)


def test_no_later_frame_changes_an_earlier_probability(compiled: Kernel) -> None:
    network = network_of(PIANO)
    pieces = GatedPieces(network.to_parameters(), compiled)
    roll = piece(PIANO, 60)
    expected = pieces.log_probabilities(roll)
    for t, key in ((0, 40), (17, 30), (41, 8), (59, 87)):
        flipped = roll.copy()
        flipped[t, key] ^= True
        found = pieces.log_probabilities(flipped)
        assert (found[:t] == expected[:t]).all()
        assert found[t] != expected[t]


def test_no_later_key_changes_an_earlier_probability() -> None:
    network = network_of(PIANO)
    roll = piece(PIANO, 30)

    def logits(roll: Roll) -> torch.Tensor:
        bv, bh = plain_biases(network, roll)
        return nade_logits(torch.from_numpy(roll).float(), network.W.data, network.U.data, bv, bh)[-1]

    expected = logits(roll)
    for key in (0, 30, 87):
        flipped = roll.copy()
        flipped[-1, key] ^= True
        torch.testing.assert_close(logits(flipped)[: key + 1], expected[: key + 1], rtol=1e-5, atol=1e-5)


def test_nade_is_its_definition(device: torch.device) -> None:
    network = network_of(PIANO)
    v = torch.from_numpy(piece(PIANO, 12)).float().to(device)
    bv, bh = (bias.to(device) for bias in plain_biases(network, piece(PIANO, 12)))
    network.to(device)
    found = nade_logits(v, network.W.data, network.U.data, bv, bh)
    sums = bh.clone()
    for key in range(88):
        torch.testing.assert_close(found[:, key], bv[:, key] + torch.sigmoid(sums) @ network.U.data[key])
        sums += v[:, key : key + 1] * network.W.data[key]


def test_the_memory_points_at_what_followed() -> None:
    """After A B C D … A B, the pointer shows C; one slip later it still does."""
    random = np.random.default_rng(0)
    theme = random.random((20, 88)) < 0.05
    memory = Memory(88)
    for frame in [*theme, *theme[:8]]:
        memory.hear(frame)
    planes, scalars = memory.context()
    assert (planes[2].astype(bool) == theme[8]).all()
    assert (planes[3].astype(bool) == theme[8]).all()
    assert scalars[5] == 1  # an agreement of 8 frames
    slip = theme[8].copy()
    slip[np.flatnonzero(slip)[0]] = False
    memory.hear(slip)
    assert (memory.context()[0][3].astype(bool) == theme[9]).all()
