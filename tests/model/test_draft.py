"""Free pieces that do not stay in a loop, drawn by a bundled model that would."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artefact import from_bytes
from model.draft import PERIOD, STRETCH, WINDOW, loops
from model.gated_sampler import GatedSampler
from model.kernel import best, kernels
from model.pianoroll import Roll
from model.sampler import gated_sampler, in_way

FILE = Path(__file__).parents[2] / "worker" / "bundled" / "models" / "0-nottingham-nade" / "model.safetensors"
LENGTH, SEEDS = 192, range(24)
random = np.random.default_rng(0)


@pytest.fixture(scope="module", params=kernels()[:1], ids=lambda kernel: kernel.name)
def sample(request: pytest.FixtureRequest) -> GatedSampler:
    return gated_sampler(from_bytes(FILE.read_bytes()), "cpu", request.param)


@pytest.fixture(scope="module")
def rash(sample: GatedSampler) -> list[Roll]:
    """Pieces in which nothing is taken back."""
    return list(replace(sample, wary=False).generate(LENGTH, SEEDS))


def looks(piece: Roll, start: int = 0) -> list[bool]:
    """What is seen at each look, from where there are frames enough that were drawn."""
    return [loops(piece[t - WINDOW : t]) for t in range(STRETCH, len(piece) + 1, STRETCH) if t - start >= WINDOW]


def figure(period: int, n: int = WINDOW) -> Roll:
    """Frames of one figure, over and over."""
    return np.tile(random.random((period, 88)) < 0.05, (-(-n // period), 1))[:n]


@pytest.mark.parametrize("period", [1, 5, PERIOD])
def test_a_figure_over_and_over_is_a_loop_and_with_a_slip_too(period: int) -> None:
    frames = figure(period)
    assert loops(frames)
    frames[30, 40] ^= True
    assert loops(frames)


def test_silence_is_a_loop() -> None:
    assert loops(np.zeros((WINDOW, 88), np.bool_))


def test_a_long_theme_or_a_figure_that_changes_is_none() -> None:
    assert not loops(figure(PERIOD + 1))
    assert not loops(np.concatenate([figure(4, WINDOW // 2), figure(4, WINDOW // 2)[::-1] ^ True, figure(3, 9)]))
    assert not loops(random.random((WINDOW, 88)) < 0.05)


def test_pieces_that_would_loop_go_on_otherwise_and_others_as_they_did(sample: GatedSampler, rash: list[Roll]) -> None:
    wary = list(sample.generate(LENGTH, SEEDS))
    looping = [any(looks(piece)) for piece in rash]
    assert 0 < sum(looping) < len(looping)
    assert not any(looks(piece)[-1] for piece in wary)
    for before, after, looped in zip(rash, wary, looping, strict=True):
        assert (before != after).any() == looped
    assert all((sample.generate(LENGTH, [seed])[0] == wary[seed]).all() for seed in SEEDS if looping[seed])


def test_a_primer_that_loops_stays_as_it_is(sample: GatedSampler) -> None:
    primer = figure(2, 100)
    piece = sample.generate(100, [0], primer=primer)[0]
    assert (piece[:100] == primer).all()
    assert not looks(piece, start=100)[-1]


def test_the_tutorials_way_takes_nothing_back(sample: GatedSampler, rash: list[Roll]) -> None:
    tutorial = in_way(replace(sample, calibrated=None), "tutorial")
    uncalibrated = replace(sample, calibrated=None, wary=False)
    assert (tutorial.generate(LENGTH, SEEDS) == uncalibrated.generate(LENGTH, SEEDS)).all()


def test_what_can_only_loop_comes_to_its_end(sample: GatedSampler) -> None:
    arrays = sample.parameters.arrays
    silent = replace(sample.parameters, arrays={**arrays, "bv": arrays["bv"] - 100})
    assert not gated_sampler(silent, "cpu", best()).generate(LENGTH, [0]).any()
