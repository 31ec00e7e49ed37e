"""Free pieces that do not stay in a loop or a cluster, drawn by a bundled model that would."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artefact import from_bytes
from model.draft import FEWEST, LONGEST_FIGURE, STRETCH, loop
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
    """Whether there is a loop at each look, among frames that were drawn."""
    return [0 < loop(piece[:t]) <= t - start for t in range(start - start % STRETCH + STRETCH, len(piece) + 1, STRETCH)]


def figure(period: int, n: int) -> Roll:
    """Frames of one figure, over and over."""
    return np.tile(random.random((period, 88)) < 0.05, (-(-n // period), 1))[:n]


@pytest.mark.parametrize(
    ("period", "repeated"), [(1, FEWEST), (5, FEWEST), (16, 3 * 16), (LONGEST_FIGURE, 3 * LONGEST_FIGURE)]
)
def test_a_figure_that_comes_again_three_times_is_a_loop_and_with_a_slip_too(period: int, repeated: int) -> None:
    before = random.random((20, 88)) < 0.05
    frames = np.concatenate([before, figure(period, period + repeated)])
    assert loop(frames) == repeated
    assert loop(frames[: -repeated // 4]) == 0
    frames[-10, 40] ^= True
    assert loop(frames) == repeated
    for t in range(-repeated, -10, 2):
        frames[t, t % 88] ^= True
    assert loop(frames) == 0


def test_silence_is_a_loop() -> None:
    assert loop(np.zeros((FEWEST + 1, 88), np.bool_)) == FEWEST
    assert loop(np.zeros((FEWEST, 88), np.bool_)) == 0


def test_a_long_theme_or_frames_of_all_kinds_are_none() -> None:
    assert loop(figure(LONGEST_FIGURE + 1, 300)) == 0
    assert loop(random.random((300, 88)) < 0.05) == 0
    assert loop(np.zeros((0, 88), np.bool_)) == 0


def test_pieces_that_would_loop_go_on_otherwise_and_others_as_they_did(sample: GatedSampler, rash: list[Roll]) -> None:
    wary = list(sample.generate(LENGTH, SEEDS))
    looping = [any(looks(piece)) for piece in rash]
    assert 0 < sum(looping) < len(looping)
    assert not any(any(looks(piece)) for piece in wary)
    for before, after, looped in zip(rash, wary, looping, strict=True):
        assert (before != after).any() == looped
    assert all((sample.generate(LENGTH, [seed])[0] == wary[seed]).all() for seed in SEEDS if looping[seed])


def test_a_cluster_is_taken_back_and_a_dense_primer_stays(sample: GatedSampler) -> None:
    """Of the model's pieces some stretches have more than 4.8 notes a frame."""
    bounded = replace(sample.parameters, arrays={**sample.parameters.arrays, "free_most": np.full(1, 4.8, np.float32)})
    calibrated = replace(sample, calibrated=sample.calibrated or sample.pieces)
    free, sparse = (list(s.generate(LENGTH, SEEDS)) for s in (calibrated, replace(calibrated, parameters=bounded)))
    densest = [
        max(piece[t - STRETCH : t].sum() / STRETCH for t in range(STRETCH, LENGTH + 1, STRETCH) for piece in pieces)
        for pieces in (free, sparse)
    ]
    assert densest[0] > 4.8 >= densest[1]
    primer = random.random((40, 88)) < 0.2
    assert (replace(calibrated, parameters=bounded).generate(20, [0], primer=primer)[0, :40] == primer).all()


def test_a_primer_that_loops_stays_as_it_is(sample: GatedSampler) -> None:
    primer = np.tile(np.random.default_rng(5).random((3, 88)) < 0.05, (33, 1))
    piece = sample.generate(100, [0], primer=primer)[0]
    assert (piece[: len(primer)] == primer).all()
    assert loop(primer)
    assert not any(looks(piece, start=len(primer)))


def test_the_tutorials_way_takes_nothing_back(sample: GatedSampler, rash: list[Roll]) -> None:
    tutorial = in_way(replace(sample, calibrated=None), "tutorial")
    uncalibrated = replace(sample, calibrated=None, wary=False)
    assert (tutorial.generate(LENGTH, SEEDS) == uncalibrated.generate(LENGTH, SEEDS)).all()


def test_what_can_only_loop_comes_to_its_end(sample: GatedSampler) -> None:
    arrays = sample.parameters.arrays
    silent = replace(sample.parameters, arrays={**arrays, "bv": arrays["bv"] - 100})
    assert not gated_sampler(silent, "cpu", best()).generate(LENGTH, [0]).any()
