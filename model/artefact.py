"""The model file: safetensors with the tutorial's parameter names and the config as metadata. Free of torch.

Tensors: `model.parameters.NAMES`, float32. Metadata: `config`, the JSON of `ModelConfig.to_dict`.
"""

import json
from types import NoneType
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from model.config import PIANO, ModelConfig
from model.errors import ArtefactError, ConfigError
from model.parameters import Parameters, shapes


def to_bytes(parameters: Parameters) -> bytes:
    """The parameters as a safetensors file."""
    # one entry only: safetensors writes several in an order of its own, and the same model must be the same bytes
    return save(dict(parameters.arrays), metadata={"config": json.dumps(parameters.config.to_dict())})


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
    wanted = shapes(config)
    for name in wanted:
        if name not in arrays:
            raise ArtefactError(f"{name} is missing: the tensors are {', '.join(wanted)}")
        _check(name, arrays[name], wanted[name])
    if unknown := sorted(arrays.keys() - wanted.keys()):
        raise ArtefactError(f"{unknown[0]} is not a tensor of this model, whose are {', '.join(wanted)}")
    return Parameters(config, arrays)


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
    for name in ("n_hidden", "n_hidden_recurrent", "steps_per_beat"):
        if type(config.get(name)) not in (int, NoneType):
            raise ConfigError(f"{name} is no integer")
    if type(config.get("dt")) not in (int, float, NoneType):
        raise ConfigError("dt is no number")
    bounds = config.get("pitch_range", PIANO)
    if not isinstance(bounds, list | tuple) or [type(bound) for bound in bounds] != [int, int]:
        raise ConfigError("pitch_range is not two integers")


def metadata(data: bytes) -> dict[str, Any]:
    """The `__metadata__` of a safetensors file: eight bytes of length, then a JSON header."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, Any] = header.get("__metadata__", {})
    return found


def _check(name: str, array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ArtefactError(f"{name} has shape {array.shape}, its config says {shape}")
    if array.dtype != np.float32:
        raise ArtefactError(f"{name} is {array.dtype}, must be float32")
    if not np.isfinite(array).all():
        raise ArtefactError(f"{name} holds values that are not finite")
