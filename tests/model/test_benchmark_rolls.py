"""Reading the rolls that benchmark figures are measured on."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest

from model.benchmark_rolls import read_benchmark_rolls
from model.config import ModelConfig
from model.errors import CorpusError
from tests.pieces import piece

PIECES = [piece(seed, bars=seed + 1) for seed in range(3)]


def npz(**arrays: Any) -> BytesIO:
    file = BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    return file


def written(lengths: list[int] | None = None) -> BytesIO:
    frames = np.packbits(np.concatenate(PIECES), axis=1)
    return npz(frames=frames, lengths=np.array(lengths or [len(roll) for roll in PIECES]))


def test_the_pieces_come_back() -> None:
    rolls = read_benchmark_rolls(written(), ModelConfig())
    assert len(rolls) == 3
    assert all((found == expected).all() for found, expected in zip(rolls, PIECES, strict=True))


@pytest.mark.parametrize("pitch_range", [(48, 60), (0, 128), (60, 120), (109, 120)])
def test_keys_lie_in_the_models_range(pitch_range: tuple[int, int]) -> None:
    low, high = pitch_range
    rolls = read_benchmark_rolls(written(), ModelConfig(pitch_range=pitch_range))
    for found, expected in zip(rolls, PIECES, strict=True):
        everything = np.zeros((len(expected), 128), bool)
        everything[:, 21:109] = expected
        assert (found == everything[:, low:high]).all()


@pytest.mark.parametrize(
    "file",
    [
        BytesIO(b"no npz"),
        npz(lengths=np.array([1])),
        npz(frames=np.zeros((3, 88)), lengths=np.array([3])),
        npz(frames=np.zeros((3, 12), np.uint8), lengths=np.array([3])),
        npz(frames=np.zeros((0, 11), np.uint8), lengths=np.array([], np.int64)),
        npz(frames=np.zeros((3, 11), np.uint8), lengths=np.array([[3]])),
        npz(frames=np.zeros((3, 11), np.uint8), lengths=np.array([4, -1])),
        npz(frames=np.array([{}], object), lengths=np.array([1])),
        written([1, 2]),
    ],
)
def test_what_is_no_file_of_rolls_is_an_error_in_words(file: BytesIO) -> None:
    with pytest.raises(CorpusError, match=r"cannot be read|must be"):
        read_benchmark_rolls(file, ModelConfig())
