"""What all kinds of model have in common in training: named parameters, and a form in which they are kept."""

from torch import nn

from model.config import ModelConfig
from model.parameters import Parameters


class Network(nn.Module):
    """A model that can be trained."""

    config: ModelConfig
    W: nn.Parameter
    """Of the RBM or NADE, (n_visible, n_hidden)."""

    def to_parameters(self) -> Parameters:
        """The parameters as they are now; on the CPU the arrays share the network's memory."""
        raise NotImplementedError
