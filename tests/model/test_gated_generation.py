"""Pieces of the models with a gated recurrence, by PyTorch and by the compiled kernel for every instruction set."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from model import gated_plain
from model.config import ModelConfig
from model.draw_options import DrawOptions
from model.drawing import Start
from model.errors import Stopped
from model.gated_sampler import GatedSampler
from model.infilling import penalties
from model.kernel import STARTS, Clamp, Drawing, Frames
from model.parameters import Parameters
from model.pianoroll import Roll
from model.sampler import in_way, sampler
from tests.model.conftest import WAYS, Way
from tests.model.test_gated import CONFIGS, PIANO, SMALL, network_of, piece

KINDS = ("lstm-rbm", "lstm-nade")
STATES = np.array(list(product([False, True], repeat=6)))
PAST = piece(SMALL, 30)
FEW_STEPS = 10
"""Where it does not matter what a chain comes to: PyTorch takes each step of each frame by itself."""


def made(config: ModelConfig, way: Way) -> GatedSampler:
    found = sampler(network_of(config).to_parameters(), str(way.device), way.kernel)
    assert isinstance(found, GatedSampler)
    return found


def steps(way: Way) -> int:
    """Gibbs steps that bring a chain of the small model to its distribution, as near as the draws of a way can tell."""
    return 40 if way.kernel else 15


@cache
def after_the_past(config: ModelConfig, temperature: float = 1.0) -> np.ndarray:
    """p(v_t) of all 64 frames after `PAST`."""
    return frame_distribution(network_of(config).to_parameters(), PAST, temperature)


def drawn(
    sample: GatedSampler, way: Way, seeds: Sequence[int], temperature: float = 1.0, clamp: Clamp | None = None
) -> tuple[Frames, np.ndarray]:
    """For each seed a frame after `PAST`, (seeds, 6), and the log probability of what is given to it, (seeds,)."""
    n = len(PAST)
    heard = sample.pieces.begin(1, n + 1)
    sample.pieces.hear(heard, n + 1, PAST)
    frames, log_weights = sample.pieces.generate(
        sample.pieces.copies(heard, np.zeros(len(seeds), np.intp)), n + 1,
        Drawing(temperature, steps(way), STARTS[sample.start]), np.array(seeds, np.uint64), n, n + 1, clamp,
    )  # fmt: skip
    return frames[:, 0], log_weights


def frame_distribution(parameters: Parameters, past: Roll, temperature: float) -> np.ndarray:
    """p(v_t) of all 64 frames after a past, enumerated."""
    if parameters.config.kind == "lstm-nade":
        pieces = [np.concatenate([past, frame[None]]) for frame in STATES]
        joint = np.exp([gated_plain.log_probabilities(parameters, piece)[-1] for piece in pieces])
        return cooled(joint, temperature)
    bv, bh = (bias[-1].astype(float) for bias in gated_plain.biases(parameters, np.concatenate([past, STATES[:1]])))
    W = parameters.arrays["W"]
    log_p = (STATES @ bv) / temperature + np.logaddexp(0, (bh + STATES @ W) / temperature).sum(1)
    p: np.ndarray = np.exp(log_p - np.logaddexp.reduce(log_p))
    return p


def cooled(joint: np.ndarray, temperature: float) -> np.ndarray:
    """The logit of each key given those below, divided by the temperature."""
    p = np.ones(len(STATES))
    for key in range(STATES.shape[1]):
        alike = (STATES[:, None, : key + 1] == STATES[None, :, : key + 1]).all(2)  # (states, states)
        below = (STATES[:, None, :key] == STATES[None, :, :key]).all(2)
        share = (alike @ joint) / (below @ joint)
        p *= 1 / (1 + ((1 - share) / share) ** (1 / temperature))
    return p


def frequencies(frames: Frames, weights: np.ndarray | None = None) -> np.ndarray:
    """Of all 64 frames among some, (n, 6)."""
    found = np.bincount(frames @ (1 << np.arange(5, -1, -1)), weights, minlength=64)
    return found / found.sum()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("config", [config for config in CONFIGS if config.n_visible == 6], ids=str)
def test_frames_are_distributed_as_the_model_says(config: ModelConfig, way: Way, temperature: float) -> None:
    sample = made(config, way)
    n = 20_000 if way.kernel else 200
    frames, _ = drawn(sample, way, range(n), temperature)
    p = after_the_past(config, temperature)
    error, log_p = frequencies(frames) - p, np.log(p)
    assert np.abs(error).max() < 5 * np.sqrt(0.25 / n)
    assert abs(error @ log_p) < 5 * np.sqrt(p @ (log_p - p @ log_p) ** 2 / n)  # few draws show this much sooner
    asked = sample.generate(1, range(20), DrawOptions(gibbs_steps=steps(way), temperature=temperature), primer=PAST)
    assert (asked[:, -1] == frames[:20]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_piece_whatever_is_beside_it(kind: str, way: Way) -> None:
    sample = made(replace(SMALL, kind=kind), way)
    together = sample.generate(12, [5, 6, 2**53 - 1], DrawOptions(gibbs_steps=FEW_STEPS))
    for seed, alone in zip([5, 6, 2**53 - 1], together, strict=True):
        assert (sample.generate(12, [seed], DrawOptions(gibbs_steps=FEW_STEPS))[0] == alone).all()
        assert (sample.generate(5, [seed], DrawOptions(gibbs_steps=FEW_STEPS))[0] == alone[:5]).all()
    assert (together[0] != together[1]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_goes_on_from_its_own_beginning_as_it_went_on(kind: str, way: Way) -> None:
    """The memory of a primer is that of frames that were drawn, and frame t takes the same random numbers."""
    sample = made(replace(SMALL, kind=kind), way)
    whole = sample.generate(20, [3], DrawOptions(gibbs_steps=FEW_STEPS))[0]
    assert (sample.generate(12, [3], DrawOptions(gibbs_steps=FEW_STEPS), primer=whole[:8])[0] == whole).all()


@pytest.mark.parametrize("channels", [0, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_piece_whatever_the_instruction_set(kind: str, channels: int) -> None:
    config = replace(PIANO, kind=kind, n_hidden=43, n_hidden_recurrent=37, n_channels=channels)
    source, kept = piece(PIANO, 30), np.random.default_rng(1).random((30, 88)) < 0.3
    ways = [made(config, way) for way in WAYS if way.kernel]
    free = [sample.generate(60, [7, 8], DrawOptions(temperature=0.9)) for sample in ways]
    filled = [sample.infill(source, kept, [7], DrawOptions(particles=5)) for sample in ways]
    assert all((one == free[0]).all() for one in free)
    assert all((one == filled[0]).all() for one in filled)


@pytest.mark.parametrize("kind", KINDS)
def test_kept_cells_stay_and_the_others_are_sampled(kind: str, way: Way) -> None:
    source, kept = np.random.default_rng(0).random((2, 30, 6)) < 0.4
    sample = made(replace(SMALL, kind=kind), way)
    pieces = sample.infill(source, kept, [0, 1], DrawOptions(gibbs_steps=FEW_STEPS, particles=4))
    assert pieces.shape == (2, 30, 6)
    assert (pieces[:, kept] == source[kept]).all()
    assert (pieces[:, ~kept] != source[~kept]).any(axis=1).all()
    assert (sample.infill(source, kept, [1], DrawOptions(gibbs_steps=FEW_STEPS, particles=4))[0] == pieces[1]).all()
    whole = sample.infill(source, np.ones_like(kept), [0], DrawOptions(gibbs_steps=FEW_STEPS, particles=2))
    assert (whole[0] == source).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_weight_is_the_probability_of_what_is_given(kind: str, way: Way) -> None:
    kept, source = np.array([1, 0, 0, 1, 0, 1], bool), np.array([0, 0, 0, 1, 0, 0], bool)
    config = replace(SMALL, kind=kind)
    n = 20_000 if way.kernel else 400
    clamp = Clamp(kept[None], source[None], penalties(steps(way), kept))
    frames, log_weights = drawn(replace(made(config, way), start="zeros"), way, range(n), clamp=clamp)
    p = after_the_past(config)
    given = (STATES[:, kept] == source[kept]).all(1)
    weights = np.exp(log_weights)
    assert weights.mean() == pytest.approx(p[given].sum(), abs=5 * float(weights.std()) / np.sqrt(n) + 1e-6)
    found = frequencies(frames, weights)
    assert np.abs(found - np.where(given, p, 0) / p[given].sum()).max() < (0.03 if way.kernel else 0.15)


@pytest.mark.parametrize(("start", "lag"), [("zeros", None), ("last", 1), ("pointed", 12)])
def test_a_chain_starts_where_it_is_told(start: Start, lag: int | None, way: Way) -> None:
    """Without a step its start is the frame; the past is a theme of twelve frames, twice."""
    theme = np.random.default_rng(2).random((12, 88)) < 0.1
    past = np.concatenate([theme, theme])
    sample = made(replace(PIANO, kind="lstm-rbm"), way)
    heard = sample.pieces.begin(1, 25)
    sample.pieces.hear(heard, 25, past)
    seeds = np.zeros(1, np.uint64)
    frames, _ = sample.pieces.generate(heard, 25, Drawing(1.0, 0, STARTS[start]), seeds, 24, 25)
    assert (frames[0, 0] == (past[-lag] if lag else False)).all()


def test_the_tutorials_way_starts_from_zeros(way: Way) -> None:
    sample = made(replace(SMALL, kind="lstm-rbm"), way)
    tutorial = in_way(sample, "tutorial")
    assert isinstance(tutorial, GatedSampler)
    assert tutorial.start == "zeros"
    assert in_way(sample, "best") is sample


@pytest.mark.parametrize("n", [1, 3])
def test_the_caller_can_stop_and_is_told_how_far_it_is(n: int, way: Way) -> None:
    sample = made(SMALL, way)
    asked: list[int] = []
    sample.generate(12, range(n), DrawOptions(on_step=lambda step: bool(asked.append(step))))
    assert asked == sorted(asked)
    assert 0 <= asked[0] <= asked[-1] <= 12 * n
    with pytest.raises(Stopped):
        sample.generate(12, range(n), DrawOptions(on_step=lambda _: True))
