"""The model file: safetensors with the tutorial's parameter names and the config as metadata. Free of torch.

Tensors: `model.parameters.NAMES`, float32. Metadata: `config`, the JSON of `ModelConfig.to_dict`.
"""

import json
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from model.config import ModelConfig
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
    if wanted.keys() != arrays.keys():
        raise ArtefactError(f"tensors must be {sorted(wanted)}, not {sorted(arrays)}")
    for name, array in arrays.items():
        _check(name, array, wanted[name])
    return Parameters(config, arrays)


def _config(data: bytes) -> ModelConfig:
    try:
        return ModelConfig.from_dict(json.loads(metadata(data)["config"]))
    except (KeyError, ValueError, ConfigError) as error:
        raise ArtefactError(f"the file's metadata has no usable config: {error}") from error


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
