"""What all kinds of model have in common in training: named parameters, and a form in which they are kept."""

from typing import Self

import torch
from torch import nn

from model.config import ModelConfig
from model.parameters import Parameters, shapes


class Network(nn.Module):
    """A model that can be trained; a kind has its parameters by the names of `model.parameters.shapes`."""

    config: ModelConfig
    W: nn.Parameter
    """Of the RBM or NADE, (n_visible, n_hidden)."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:  # noqa: ARG002 (first values)
        super().__init__()
        self.config = config

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> Self:
        """A network of its own, on the CPU, with these parameters."""
        network = cls(parameters.config)
        arrays = {name: parameters.arrays[name] for name in shapes(parameters.config)}
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        return network

    def to_parameters(self) -> Parameters:
        """The parameters as they are now; on the CPU the arrays share the network's memory."""
        arrays = {name: getattr(self, name).detach().cpu().contiguous().numpy() for name in shapes(self.config)}
        return Parameters(self.config, arrays)
