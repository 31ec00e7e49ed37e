"""The model file."""

import json
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from model.artefact import from_bytes, metadata, to_bytes
from model.config import ModelConfig
from model.errors import ArtefactError
from model.kernel import Kernel
from model.parameters import Parameters, shapes
from model.sampler import sampler

CONFIG = ModelConfig(n_hidden=3, n_hidden_recurrent=2, pitch_range=(60, 64), dt=None, steps_per_beat=2)
GATED = [replace(CONFIG, kind=kind, n_channels=n) for kind in ("lstm-rbm", "lstm-nade") for n in (0, 16)]


def parameters(config: ModelConfig = CONFIG) -> Parameters:
    random = np.random.default_rng(0)
    return Parameters(config, {name: random.random(shape, np.float32) for name, shape in shapes(config).items()})


def test_a_model_comes_back_as_it_was() -> None:
    original = parameters()
    loaded = from_bytes(to_bytes(original))
    assert loaded.config == CONFIG
    for name, value in original.arrays.items():
        assert np.array_equal(value, loaded.arrays[name])


def test_the_same_model_has_the_same_bytes() -> None:
    assert to_bytes(parameters()) == to_bytes(parameters())


@pytest.mark.parametrize("config", GATED, ids=str)
@pytest.mark.parametrize("half", [False, True])
def test_a_gated_model_comes_back_whole_or_as_halves(config: ModelConfig, half: bool, kernel: Kernel | None) -> None:
    original = parameters(config)
    data = to_bytes(original, half=half)
    loaded = from_bytes(data)
    assert loaded.config == config
    for name, value in original.arrays.items():
        assert loaded.arrays[name].dtype == np.float32
        np.testing.assert_allclose(loaded.arrays[name], value, atol=5e-4 if half else 0)
    assert sampler(loaded, "cpu", kernel).generate(3, [0]).shape == (1, 3, 4)
    saved = sum(2 * value.size for value in original.arrays.values()) if half else 0
    assert len(to_bytes(original)) - len(data) == pytest.approx(saved, abs=64)  # offsets have fewer digits


def test_what_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ArtefactError, match="are float32"):
        to_bytes(parameters(), half=True)
    large = parameters(GATED[0])
    large.arrays["W"][0, 0] = 1e5
    with pytest.raises(ArtefactError, match="W holds values"):
        to_bytes(large, half=True)


@pytest.mark.parametrize("config", GATED, ids=str)
def test_each_tensor_of_a_gated_model_is_checked(config: ModelConfig) -> None:
    data = to_bytes(parameters(config))
    tensors = load(data)
    for name, value in tensors.items():
        longer = {**tensors, name: np.concatenate([value, value])}
        with pytest.raises(ArtefactError, match=f"^{name} has shape"):
            from_bytes(save(longer, metadata=metadata(data)))
        absent = {other: array for other, array in tensors.items() if other != name}
        with pytest.raises(ArtefactError, match=f"^{name} is missing"):
            from_bytes(save(absent, metadata=metadata(data)))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"n_channels": 16.0}, "n_channels is no integer"),
        ({"n_channels": 8}, "multiple of 16"),
        ({"n_channels": True}, "n_channels is no integer"),
        ({"kind": "gru-rbm"}, "unknown kind"),
        ({"kind": ["lstm-rbm"]}, "unknown kind"),
        ({"kind": "rnn-rbm"}, "n_channels"),
        ({"steps_per_beat": 2**60}, "steps_per_beat 1152921504606846976 is not within"),
        ({"steps_per_beat": None, "dt": math.nan}, "dt nan is not within"),
        ({"steps_per_beat": None, "dt": 1e-320}, "dt 1e-320 is not within"),
        ({"recall": "5"}, "recall is no number"),
        ({"recall": True}, "recall is no number"),
        ({"recall": 5.0}, "recall is for an rnn-rbm"),
        ({"recall": -1.0}, "recall -1.0 is not within"),
        ({"recall": math.nan}, "recall nan is not within"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(said: dict[str, object], words: str) -> None:
    data = to_bytes(parameters(GATED[1]))
    config = json.dumps({**GATED[1].to_dict(), **said})
    with pytest.raises(ArtefactError, match=words):
        from_bytes(save(load(data), metadata={"config": config}))


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
        (changed(bv=np.zeros(4, np.float16)), "float16, must be float32$"),
        (changed(bv=np.full(4, np.nan, np.float32)), "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(ArtefactError, match=words):
        from_bytes(data)
