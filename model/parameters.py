"""A model as plain arrays: what the model file holds and what every kernel reads. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig

NAMES = ("W", "bv", "bh", "Wuh", "Wuv", "Wvu", "Wuu", "bu")

Array = NDArray[np.float32]


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, by the tutorial's name."""
    V, H, R = config.n_visible, config.n_hidden, config.n_hidden_recurrent
    return {"W": (V, H), "bv": (V,), "bh": (H,), "Wuh": (R, H), "Wuv": (R, V), "Wvu": (V, R), "Wuu": (R, R), "bu": (R,)}


@dataclass(frozen=True)
class Parameters:
    """An RNN-RBM: its config and its parameters, float32 and contiguous, by name."""

    config: ModelConfig
    arrays: Mapping[str, Array]
