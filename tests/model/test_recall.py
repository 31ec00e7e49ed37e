"""What pieces of an RNN-RBM recall of themselves, by PyTorch and by the compiled kernel for every instruction set."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.config import ModelConfig
from model.cuda.accelerator import Accelerator
from model.cuda.chains import PlainChains
from model.cuda.sampler import BatchSampler
from model.draw_options import DrawOptions
from model.kernel import kernels
from model.parameters import Array, Parameters
from model.pianoroll import Roll
from model.recall import Recall
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import Sampler, in_way, sampler
from tests.model.conftest import WAYS

CONFIG = ModelConfig(n_hidden=4, n_hidden_recurrent=3, pitch_range=(60, 65), dt=None, steps_per_beat=1, recall=100.0)
FAR, EVERY = 24, 2
BV = np.linspace(-1.5, 0.5, 5, dtype=np.float32)

Values = NDArray[np.float64]
Make = Callable[[Parameters], Sampler]
MAKERS: dict[str, Make] = {
    **{
        f"{kernel.name if kernel else 'torch'}-{device}": lambda p, device=device, kernel=kernel: sampler(  # type: ignore[misc]
            p, str(device), kernel
        )
        for device, kernel in WAYS
    },
    **{
        f"batch-{device}": lambda p, device=device: BatchSampler(p, str(device), PlainChains())  # type: ignore[misc]
        for device, kernel in WAYS
        if kernel is None
    },
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def make(request: pytest.FixtureRequest) -> Make:
    found: Make = request.param
    return found


def theme(seed: int, frames: int = 30) -> Roll:
    roll: Roll = np.random.default_rng(seed).random((frames, 5)) < 0.4
    return roll


def with_slips(seed: int) -> Roll:
    """A theme four times, some of its notes wrong, then another twice."""
    tune = np.concatenate([theme(seed)] * 4 + [theme(seed + 100)] * 2)
    tune ^= np.random.default_rng(seed).random(tune.shape) < 0.02
    return tune


def by_definition(roll: Roll, start: int = 0) -> tuple[Values, Roll]:
    """How sure each frame is recalled, (frames,), and as what, (frames, n_visible), if those from `start` on may be."""
    n = len(roll)
    M = np.zeros((n + 1, n + 1), np.float32)  # M[t + 1, j + 1] for the frames t and j; rounded as ours, for its ties
    sure, notes, times = np.zeros(n), np.zeros_like(roll), np.zeros(n)
    for t in range(n):
        places = [f for f in range(1, t - FAR + 1) if (t - f) % EVERY == 0 and times[f] < 2]
        if places and t >= start:
            place = max(places, key=lambda f, t=t: (M[t, f], f))  # type: ignore[misc]
            sure[t] = np.clip((M[t, place] - 1) / 4, 0, 1)
            notes[t] = roll[place]
            if sure[t] >= 0.5:
                times[place] += 1
                times[t] = 2
        for j in range(t):
            either = (roll[t] | roll[j]).sum()
            both = np.float32((roll[t] & roll[j]).sum())
            M[t + 1, j + 1] = (both / np.float32(either) if either else 1) * (1 + M[t, j])
    return sure, notes


def silent(bv: Array = BV, **changes: Any) -> Parameters:
    """A model whose frames depend on nothing: each key sounds with the probability that its bias says."""
    network = RnnRbmNetwork(replace(CONFIG, **changes))
    for parameter in network.parameters():
        parameter.data.zero_()
    network.bv.data = torch.from_numpy(bv.copy())
    return network.to_parameters()


def knowing(**changes: Any) -> Parameters:
    """A model with parameters at random."""
    network = RnnRbmNetwork(replace(CONFIG, **changes))
    for parameter in network.parameters():
        parameter.data.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(parameter.numel()))
    return network.to_parameters()


def test_what_is_recalled_follows_from_the_definition(device: torch.device) -> None:
    rolls = [with_slips(seed) for seed in range(3)]
    recall = Recall(CONFIG, len(rolls[0]), torch.zeros((), device=device)).repeated(3)
    expected = [by_definition(roll) for roll in rolls]
    for t, frames in enumerate(np.stack(rolls, axis=1)):
        for row, (sure, notes) in zip(recall.biases().cpu().numpy(), expected, strict=True):
            np.testing.assert_allclose(row, 100 * sure[t] * np.where(notes[t], 1, -1), rtol=1e-4, atol=1e-3)
        recall.hear(torch.from_numpy(frames).to(device, torch.float32))
    assert all((sure == 1).sum() > 40 for sure, _ in expected)
    assert all(((sure > 0) & (sure < 1)).sum() > 5 for sure, _ in expected)


@pytest.mark.parametrize(("low", "bv"), [(60, BV), (30, np.full(75, -3, np.float32))], ids=["few keys", "many"])
def test_pieces_play_what_they_recall_and_else_what_the_model_says(make: Make, low: int, bv: Array) -> None:
    keys = len(bv)
    expected = 1 / (1 + np.exp(-bv))
    primer = np.random.default_rng(1).random((40, keys)) < expected
    pieces = make(silent(bv, pitch_range=(low, low + keys))).generate(160, range(6), primer=primer)
    free = np.zeros((0, keys), np.bool_)
    recalled = 0
    for piece in pieces:
        assert (piece[:40] == primer).all()
        sure, notes = by_definition(piece, start=40)
        certain = sure * CONFIG.recall > 20
        assert (piece[certain] == notes[certain]).all()
        recalled += certain.sum()
        free = np.concatenate([free, piece[40:][sure[40:] == 0]])
    assert 50 < recalled < 900
    assert (np.abs(free.mean(0) - expected) < 5 * np.sqrt(0.25 / len(free))).all()


def test_what_is_recalled_is_added_to_the_biases(make: Make) -> None:
    """A theme begins again: keys of the next frame sound more often if they did, and less if they did not."""
    primer = np.concatenate([theme(2), theme(2)[:4]])
    frames = make(silent(recall=1.5)).generate(1, range(1500), DrawOptions(temperature=1.3), primer=primer)[:, -1]
    logits = (BV + 1.5 * 0.75 * np.where(theme(2)[4], 1, -1)) / 1.3  # four frames alike: three quarters sure
    expected = 1 / (1 + np.exp(-logits))
    assert (np.abs(frames.mean(0) - expected) < 5 * np.sqrt(0.25 / 1500)).all()


@pytest.mark.parametrize("name", [name for name in MAKERS if not name.startswith("torch")])
def test_a_piece_goes_on_after_its_own_beginning_as_it_did(name: str) -> None:
    """Where random numbers are counted by frames."""
    sample = MAKERS[name](knowing(recall=3.0))
    (piece,) = sample.generate(100, [5])
    sure, _ = by_definition(piece)
    assert (sure[40:] > 0.5).any()
    beginning = piece[: int((sure > 0).argmax())]  # what is given is not taken for recalled
    assert (sample.generate(100 - len(beginning), [5], primer=beginning)[0] == piece).all()


def test_a_piece_does_not_depend_on_those_beside_it_nor_on_its_length(make: Make) -> None:
    sample = make(knowing(recall=3.0))
    together = sample.generate(90, [3, 4, 5])
    for seed, piece in zip([3, 4, 5], together, strict=True):
        assert (sample.generate(90, [seed])[0] == piece).all()
        assert (sample.generate(60, [seed])[0] == piece[:60]).all()


def test_a_piece_in_slices_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sampler(knowing(recall=3.0), "cpu", kernels()[0])
    whole = sample.generate(100, range(3))
    monkeypatch.setattr("model.sampler.SLICE_WORK", 25 * 8 * 20 * 7)
    assert (sample.generate(100, range(3)) == whole).all()


@pytest.mark.parametrize("shared", [False, True])
def test_the_tutorials_way_recalls_nothing(make: Make, shared: bool) -> None:
    if shared:
        made = Accelerator("cpu", PlainChains(), kernels()[0], crossover=2).sampler(knowing())
    else:
        made = make(knowing())
    (recalling,), (own,) = made.generate(150, [1]), in_way(made, "tutorial").generate(150, [1])
    plain = sampler(knowing(recall=0.0), "cpu", kernels()[0]) if shared else make(knowing(recall=0.0))
    assert (own == plain.generate(150, [1])[0]).all()
    assert (recalling != own).any()
    assert in_way(made, "best") is made


def test_filling_in_recalls_nothing(make: Make) -> None:
    source = np.concatenate([theme(3), theme(3)])
    kept = np.zeros_like(source)
    kept[:, 0] = kept[40:, 1] = True
    one, other = (
        make(knowing(**recall)).infill(source, kept, [7], DrawOptions(particles=4)) for recall in ({}, {"recall": 0.0})
    )
    assert (one == other).all()


def test_it_recalls_as_far_back_as_the_memory_reaches() -> None:
    """By the kernel and by PyTorch, in a piece that is longer."""
    (piece,) = sampler(silent(recall=60.0), "cpu", kernels()[0]).generate(4400, [1])
    recall = Recall(replace(CONFIG, recall=60.0), len(piece), torch.zeros(()))
    certain = 0
    for frame in torch.from_numpy(piece).float():
        (bias,) = recall.biases()
        if abs(bias[0]) > 20:
            assert ((bias > 0) == (frame > 0)).all()
            certain += 1
        recall.hear(frame[None])
    assert certain > 1000


def test_no_pieces_are_none() -> None:
    assert sampler(silent(), "cpu", kernels()[0]).generate(50, []).shape == (0, 50, 5)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"dt": None, "steps_per_beat": 2}, (48, 4)),
        ({"dt": None, "steps_per_beat": 1}, (24, 2)),
        ({"dt": 0.3}, (40, 1)),
        ({"dt": 60.0}, (1, 1)),
    ],
)
def test_what_is_recalled_lies_some_bars_back(step: dict[str, Any], expected: Sequence[int]) -> None:
    assert ModelConfig(**step).recalled_at == expected
