"""A model as plain arrays: what the model file holds and what every kernel reads. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig

NAMES = ("W", "bv", "bh", "Wuh", "Wuv", "Wvu", "Wuu", "bu")
"""Of every RNN-RBM; one that learns its first state has `u0` besides."""

Array = NDArray[np.float32]


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, by the tutorial's name."""
    V, H, R = config.n_visible, config.n_hidden, config.n_hidden_recurrent
    always = (V, H), (V,), (H,), (R, H), (R, V), (V, R), (R, R), (R,)
    return dict(zip(NAMES, always, strict=True)) | ({"u0": (R,)} if config.learn_u0 else {})


@dataclass(frozen=True)
class Parameters:
    """An RNN-RBM: its config and its parameters, float32 and contiguous, by name."""

    config: ModelConfig
    arrays: Mapping[str, Array]

    @property
    def u0(self) -> Array:
        """The recurrent state before the first frame, (n_hidden_recurrent,)."""
        zeros: Array = np.zeros(self.config.n_hidden_recurrent, np.float32)
        return self.arrays.get("u0", zeros)

    def states(self, frames: NDArray[np.bool_]) -> Array:
        """The states u_0 to u_T of frames (T, n_visible) from the beginning: (T + 1, n_hidden_recurrent)."""
        arrays = self.arrays
        drive = frames.astype(np.float32) @ arrays["Wvu"] + arrays["bu"]
        u = np.concatenate([self.u0[None], drive])
        for t in range(len(frames)):
            u[t + 1] = np.tanh(u[t + 1] + u[t] @ arrays["Wuu"])
        return u
