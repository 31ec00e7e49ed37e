"""The model file: safetensors with the tutorial's parameter names and the config as metadata. Free of torch.

Tensors: those of `model.parameters.shapes`, float32; of a gated recurrence they may be stored as float16, for half the
size, and are float32 once read, and those of `calibration_shapes` may be there. Metadata: `config`, the JSON of
`ModelConfig.to_dict`.
"""

import json
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from model.config import PIANO, ModelConfig
from model.errors import ArtefactError, ConfigError
from model.parameters import Parameters, calibration_shapes, shapes


def to_bytes(parameters: Parameters, *, half: bool = False) -> bytes:
    """The parameters as a safetensors file; `half`: rounded to float16, for kinds with a gated recurrence.

    Raises:
        ArtefactError: `half` of an RNN-RBM, whose tensors are float32, or of values beyond float16.
    """
    arrays = {name: _halved(name, parameters) if half else array for name, array in parameters.arrays.items()}
    # one entry only: safetensors writes several in an order of its own, and the same model must be the same bytes
    return save(arrays, metadata={"config": json.dumps(parameters.config.to_dict())})


def _halved(name: str, parameters: Parameters) -> NDArray[np.float16]:
    array = parameters.arrays[name]
    if np.float16 not in _types(parameters.config):
        raise ArtefactError(f"the tensors of an {parameters.config.kind} are float32")
    if np.abs(array).max() > np.finfo(np.float16).max:
        raise ArtefactError(f"{name} holds values that float16 does not have")
    return array.astype(np.float16)


def _types(config: ModelConfig) -> tuple[type[np.floating[Any]], ...]:
    """What tensors may be stored as."""
    return (np.float32,) if config.kind == "rnn-rbm" else (np.float32, np.float16)


def from_bytes(data: bytes) -> Parameters:
    """Inverse of `to_bytes`.

    Raises:
        ArtefactError: no safetensors, no or unknown config, a tensor missing, too many, misshapen or not finite.
    """
    try:
        arrays = load(data)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that NumPy does not have
        raise ArtefactError(f"not a safetensors file: {error}") from error
    config = _config(data)
    wanted, optional = shapes(config), calibration_shapes(config)
    for name in wanted:
        if name not in arrays:
            raise ArtefactError(f"{name} is missing: the tensors are {', '.join(wanted)}")
    known = wanted | optional
    if unknown := sorted(arrays.keys() - known.keys()):
        raise ArtefactError(f"{unknown[0]} is not a tensor of this model, whose are {', '.join(known)}")
    for name in (name for name in known if name in arrays):  # in an order of our own: what is refused first is told
        _check(name, arrays[name], known[name], _types(config))
    return Parameters(config, {name: array.astype(np.float32, copy=False) for name, array in arrays.items()})


def _config(data: bytes) -> ModelConfig:
    try:
        found = json.loads(metadata(data)["config"])
        _check_types(found)
        return ModelConfig.from_dict(found)
    except (KeyError, ValueError, ConfigError) as error:
        raise ArtefactError(f"the file's metadata has no usable config: {error}") from error


def _check_types(config: Any) -> None:
    """Refuse what only looks right: a size of 9.0 has the shape of 9. Raises ConfigError."""
    if not isinstance(config, dict):
        raise ConfigError("it is no JSON object")
    for name in ("n_hidden", "n_hidden_recurrent", "n_channels", "steps_per_beat"):
        if type(config.get(name)) not in (int, NoneType):
            raise ConfigError(f"{name} is no integer")
    for name in ("dt", "recall"):
        if type(config.get(name)) not in (int, float, NoneType):
            raise ConfigError(f"{name} is no number")
    bounds = config.get("pitch_range", PIANO)
    if not isinstance(bounds, list | tuple) or [type(bound) for bound in bounds] != [int, int]:
        raise ConfigError("pitch_range is not two integers")


def metadata(data: bytes) -> dict[str, Any]:
    """The `__metadata__` of a safetensors file: eight bytes of length, then a JSON header."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, Any] = header.get("__metadata__", {})
    return found


def _check(
    name: str, array: np.ndarray[Any, Any], shape: tuple[int, ...], types: tuple[type[np.floating[Any]], ...]
) -> None:
    if array.shape != shape:
        raise ArtefactError(f"{name} has shape {array.shape}, its config says {shape}")
    if array.dtype not in types:
        raise ArtefactError(f"{name} is {array.dtype}, must be {' or '.join(kind.__name__ for kind in types)}")
    if not np.isfinite(array).all():
        raise ArtefactError(f"{name} holds values that are not finite")
