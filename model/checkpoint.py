"""A training's whole state as one file: parameters, optimiser, random numbers, position and history.

A training that goes on from it equals an uninterrupted one to the bit, if it goes on on the same kind of device. On
another it goes on from the same parameters, with other random numbers.
"""

import json

from safetensors.torch import load, save
from torch import Tensor

from model.artefact import metadata
from model.config import ModelConfig
from model.kernel import stream_of
from model.training import TrainingState

POSITION = ("epoch", "update", "seconds", "sums", "history", "best_epoch", "best_score")
COPIES = ("average", "best")


def to_bytes(state: TrainingState) -> bytes:
    """The state as a safetensors file."""
    tensors = {f"network.{name}": value for name, value in state.network.state_dict().items()}
    for index, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items() if value is not None}
    for part in COPIES:
        tensors |= {f"{part}.{name}": value for name, value in getattr(state, part).items()}
    tensors |= {f"carried.{name}": value for name, value in state.task.carried.items()}
    tensors["generator"] = state.generator.get_state()
    position = {name: getattr(state, name) for name in POSITION}
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    config = state.network.config.to_dict()
    return save(contiguous, metadata={"position": json.dumps(position), "config": json.dumps(config)})


def config_of(data: bytes) -> ModelConfig:
    """Of the model that is trained."""
    return ModelConfig.from_dict(json.loads(metadata(data)["config"]))


def restore(state: TrainingState, data: bytes) -> None:
    """Bring a fresh `state` of the same configuration to where `to_bytes` left it."""
    tensors = load(data)
    parts = {part: _under(tensors, part) for part in ("network", "optimizer")}
    state.network.load_state_dict(parts["network"])
    optimizer = state.optimizer.state_dict()
    optimizer["state"] = {}
    for name, value in parts["optimizer"].items():
        index, slot = name.split(".", 1)
        optimizer["state"].setdefault(int(index), {})[slot] = value
    state.optimizer.load_state_dict(optimizer)
    device = next(state.network.parameters()).device
    for part in COPIES:
        setattr(state, part, {name: value.to(device) for name, value in _under(tensors, part).items()})
    state.task.carried = {name: value.to(device) for name, value in _under(tensors, "carried").items()}
    for name, value in json.loads(metadata(data)["position"]).items():
        setattr(state, name, value)
    _restore_generator(state, tensors["generator"])


def _restore_generator(state: TrainingState, saved: Tensor) -> None:
    """The random numbers go on, unless they were those of another kind of device; then there are new ones."""
    generator = state.generator
    if len(saved) == len(generator.get_state()):
        generator.set_state(saved)
    else:
        seed = stream_of(generator.initial_seed(), state.epoch, state.update)
        generator.manual_seed(seed >> 1)  # PyTorch takes 63 bits


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
