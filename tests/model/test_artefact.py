"""The model file."""

import json
import struct

import pytest
import torch
from safetensors.torch import load, save

from model.artefact import from_bytes, metadata, to_bytes
from model.config import ModelConfig
from model.errors import ArtefactError
from model.rnn_rbm import RnnRbmNetwork

CONFIG = ModelConfig(n_hidden=3, n_hidden_recurrent=2, pitch_range=(60, 64), dt=None, steps_per_beat=2)


def network() -> RnnRbmNetwork:
    return RnnRbmNetwork(CONFIG, torch.Generator().manual_seed(0))


def test_a_model_comes_back_as_it_was() -> None:
    original = network()
    loaded = from_bytes(to_bytes(original))
    assert loaded.config == CONFIG
    for name, value in original.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_the_same_model_has_the_same_bytes() -> None:
    assert to_bytes(network()) == to_bytes(network())


def changed(**tensors: torch.Tensor | None) -> bytes:
    data = to_bytes(network())
    merged = {**load(data), **tensors}
    return save({k: v for k, v in merged.items() if v is not None}, metadata=metadata(data))


def with_config(config: str) -> bytes:
    return save(load(to_bytes(network())), metadata={"config": config})


UNKNOWN = json.dumps({**CONFIG.to_dict(), "colour": "blue"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a safetensors file"),
        (b"hello, this is a text", "not a safetensors file"),
        (struct.pack("<Q", 1 << 60) + b"{}", "not a safetensors file"),
        (save(load(to_bytes(network()))), "no usable config"),
        (with_config("{broken"), "no usable config"),
        (with_config("[]"), "no usable config"),
        (with_config(UNKNOWN), "colour"),
        (changed(W=None), "tensors must be"),
        (changed(extra=torch.zeros(1)), "tensors must be"),
        (changed(W=torch.zeros(4, 4)), r"W has shape \(4, 4\)"),
        (changed(bv=torch.zeros(4, dtype=torch.float64)), "float64"),
        (changed(bv=torch.full((4,), torch.nan)), "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(ArtefactError, match=words):
        from_bytes(data)
