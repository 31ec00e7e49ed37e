"""The model file."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load, save

from model.artefact import from_bytes, metadata, to_bytes
from model.config import ModelConfig
from model.errors import ArtefactError
from model.parameters import Parameters, shapes

CONFIG = ModelConfig(n_hidden=3, n_hidden_recurrent=2, pitch_range=(60, 64), dt=None, steps_per_beat=2)


def parameters() -> Parameters:
    random = np.random.default_rng(0)
    return Parameters(CONFIG, {name: random.random(shape, np.float32) for name, shape in shapes(CONFIG).items()})


def test_a_model_comes_back_as_it_was() -> None:
    original = parameters()
    loaded = from_bytes(to_bytes(original))
    assert loaded.config == CONFIG
    for name, value in original.arrays.items():
        assert np.array_equal(value, loaded.arrays[name])


def test_the_same_model_has_the_same_bytes() -> None:
    assert to_bytes(parameters()) == to_bytes(parameters())


def changed(**tensors: np.ndarray | None) -> bytes:
    data = to_bytes(parameters())
    merged = {**load(data), **tensors}
    return save({k: v for k, v in merged.items() if v is not None}, metadata=metadata(data))


def with_config(config: str) -> bytes:
    return save(load(to_bytes(parameters())), metadata={"config": config})


UNKNOWN = json.dumps({**CONFIG.to_dict(), "colour": "blue"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a safetensors file"),
        (b"hello, this is a text", "not a safetensors file"),
        (struct.pack("<Q", 1 << 60) + b"{}", "not a safetensors file"),
        (save(load(to_bytes(parameters()))), "no usable config"),
        (with_config("{broken"), "no usable config"),
        (with_config("[]"), "no usable config"),
        (with_config(UNKNOWN), "colour"),
        (changed(W=None), "W is missing"),
        (changed(extra=np.zeros(1, np.float32)), "extra is not a tensor"),
        (changed(W=np.zeros((4, 4), np.float32)), r"W has shape \(4, 4\)"),
        (changed(bv=np.zeros(4)), "float64"),
        (changed(bv=np.full(4, np.nan, np.float32)), "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(ArtefactError, match=words):
        from_bytes(data)
