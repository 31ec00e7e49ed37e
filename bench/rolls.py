"""Reading the measured corpus with NumPy alone, as the baselines' environments have little else.

The file is what `model.corpus.PackedRolls.save` writes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def load(path: Path) -> list[Any]:
    """The pieces, boolean arrays (frames, n_visible)."""
    with np.load(path) as file:
        n_visible = json.loads(str(file["about"]))["n_visible"]
        frames = np.unpackbits(file["bits"], axis=1, count=n_visible).astype(bool)
        return np.split(frames, file["offsets"][1:-1])


def subsequences(rolls: Sequence[Any], length: int) -> list[Any]:
    """All pieces cut into subsequences of `length` frames, the last of each piece shorter, as the tutorial does."""
    return [roll[start : start + length] for roll in rolls for start in range(0, len(roll), length)]
