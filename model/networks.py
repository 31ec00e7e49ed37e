"""The network of each kind of model."""

import torch

from model.config import ModelConfig
from model.gated import GatedNetwork
from model.network import Network
from model.parameters import Parameters
from model.rnn_rbm import RnnRbmNetwork


def new_network(config: ModelConfig, seed: int) -> Network:
    """A network that has learned nothing."""
    return _kind(config)(config, torch.Generator().manual_seed(seed))


def network_from(parameters: Parameters) -> Network:
    """A network of its own, on the CPU, with these parameters."""
    return _kind(parameters.config).from_parameters(parameters)


def _kind(config: ModelConfig) -> type[RnnRbmNetwork] | type[GatedNetwork]:
    return RnnRbmNetwork if config.kind == "rnn-rbm" else GatedNetwork
