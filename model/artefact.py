"""The model file: safetensors with the tutorial's parameter names and the config as metadata.

Tensors: `model.rnn_rbm.PARAMETERS`, float32. Metadata: `config`, the JSON of `ModelConfig.to_dict`.
"""

import json
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from model.config import ModelConfig
from model.errors import ArtefactError, ConfigError
from model.rnn_rbm import RnnRbmNetwork


def to_bytes(network: RnnRbmNetwork) -> bytes:
    """The network as a safetensors file."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    # one entry only: safetensors writes several in an order of its own, and the same model must be the same bytes
    return save(tensors, metadata={"config": json.dumps(network.config.to_dict())})


def from_bytes(data: bytes) -> RnnRbmNetwork:
    """Inverse of `to_bytes`, on the CPU.

    Raises:
        ArtefactError: no safetensors, no or unknown config, a tensor missing, too many, misshapen or not finite.
    """
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ArtefactError(f"not a safetensors file: {error}") from error
    network = RnnRbmNetwork(_config(data))
    wanted = network.state_dict()
    if wanted.keys() != tensors.keys():
        raise ArtefactError(f"tensors must be {sorted(wanted)}, not {sorted(tensors)}")
    for name, tensor in tensors.items():
        _check(name, tensor, wanted[name].shape)
    network.load_state_dict(tensors)
    return network


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


def _check(name: str, tensor: torch.Tensor, shape: torch.Size) -> None:
    if tensor.shape != shape:
        raise ArtefactError(f"{name} has shape {tuple(tensor.shape)}, its config says {tuple(shape)}")
    if tensor.dtype != torch.float32:
        raise ArtefactError(f"{name} is {tensor.dtype}, must be torch.float32")
    if not tensor.isfinite().all():
        raise ArtefactError(f"{name} holds values that are not finite")
