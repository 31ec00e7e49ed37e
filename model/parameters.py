"""A model as plain arrays: what the model file holds and what every kernel reads. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.memory import BELOW, HEARD, N_PLANES, N_SCALARS, REACH

NAMES = ("W", "bv", "bh", "Wuh", "Wuv", "Wvu", "Wuu", "bu")
"""Of every RNN-RBM; one that learns its first state has `u0` besides."""

Array = NDArray[np.float32]


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, by the tutorial's name."""
    if config.kind != "rnn-rbm":
        return _gated_shapes(config)
    V, H, R = config.n_visible, config.n_hidden, config.n_hidden_recurrent
    always = (V, H), (V,), (H,), (R, H), (R, V), (V, R), (R, R), (R,)
    return dict(zip(NAMES, always, strict=True)) | ({"u0": (R,)} if config.learn_u0 else {})


def _gated_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Of the kinds `lstm-rbm` and `lstm-nade`: model/gated.py, model/tied.py and model/nade.py say what they are."""
    V, H, R, C = config.n_visible, config.n_hidden, config.n_hidden_recurrent, config.n_channels
    found: dict[str, tuple[int, ...]] = {"W": (V, H), "bv": (V,), "bh": (H,), "Wuh": (R, H), "Wuv": (R, V)}
    found |= {"Wvu": (len(HEARD) if C else 1, V, 4 * R), "Wuu": (R, 4 * R), "bu": (4 * R,)}
    if config.kind == "lstm-nade":
        found["U"] = (V, H)
    if not C:
        return found
    found |= {"Wsu": (N_SCALARS, 4 * R), "Wug": (R, 2 * C), "Wsg": (N_SCALARS, 2 * C), "bg": (2 * C,)}
    found |= {"conv": (N_PLANES, 2 * REACH + 1, C), "bconv": (C,), "mix": (C, C), "bmix": (C,), "out": (C,)}
    if config.kind == "lstm-nade":
        found["below"] = (BELOW, C)
    return found


def calibration_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """What a gated recurrence may have besides, for drawing pieces freely: model/calibration.py."""
    if config.kind == "rnn-rbm":
        return {}
    found: dict[str, tuple[int, ...]] = {"free_bias": (config.n_visible,), "free_most": (1,)}
    return found | ({"free_gain": (1,), "free_temperature": (1,)} if config.n_channels else {})


@dataclass(frozen=True)
class Parameters:
    """A model: its config and its parameters, float32 and contiguous, by name."""

    config: ModelConfig
    arrays: Mapping[str, Array]

    @property
    def u0(self) -> Array:
        """The recurrent state before the first frame, (n_hidden_recurrent,)."""
        zeros: Array = np.zeros(self.config.n_hidden_recurrent, np.float32)
        return self.arrays.get("u0", zeros)

    def without_recall(self) -> "Parameters":
        """The model itself, whose pieces recall nothing."""
        return Parameters(replace(self.config, recall=0.0), self.arrays)

    def states(self, frames: NDArray[np.bool_]) -> Array:
        """The states u_0 to u_T of frames (T, n_visible) from the beginning: (T + 1, n_hidden_recurrent)."""
        arrays = self.arrays
        drive = frames.astype(np.float32) @ arrays["Wvu"] + arrays["bu"]
        u = np.concatenate([self.u0[None], drive])
        for t in range(len(frames)):
            u[t + 1] = np.tanh(u[t + 1] + u[t] @ arrays["Wuu"])
        return u
