"""The corpus that is measured on: a folder of MIDI files, or one made up in the likeness of Nottingham's.

One file of rolls a time grid, as the recipes `tutorial` and `fast` read their input differently.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bench import ours
from model.config import RECIPES
from model.corpus import PackedRolls, read_rolls

MADE_UP_PIECES, MADE_UP_FRAMES = 700, (100, 400)
"""Pieces, and the range of their frames."""


def prepare(folder: Path | None, results: Path) -> dict[str, Any]:
    """Write `results`/RECIPE.npz for each recipe; what the corpus is, for the record."""
    rolls = {name: _read(folder, name) for name in RECIPES} if folder else dict.fromkeys(RECIPES, _made_up())
    for name, packed in rolls.items():
        ours.save(packed, results / f"{name}.npz")
    tutorial = rolls["tutorial"]
    source = "a folder of MIDI files" if folder else "sampled from the bundled model"
    return {"source": source, "pieces": len(tutorial), "frames": tutorial.n_frames}


def _read(folder: Path, recipe: str) -> PackedRolls:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in {".mid", ".midi"})
    pieces = ((file.name, file.read_bytes()) for file in files)
    return read_rolls(pieces, RECIPES[recipe].model, strict=False)


def _made_up() -> PackedRolls:
    """Pieces sampled from the bundled model, always the same on the same kernel."""
    lengths = np.random.default_rng(0).integers(*MADE_UP_FRAMES, MADE_UP_PIECES, endpoint=True)
    pieces = ours.sample_bundled(max(MADE_UP_FRAMES), range(MADE_UP_PIECES))
    rolls = (piece[:length] for piece, length in zip(pieces, lengths, strict=True))
    return PackedRolls.pack(rolls, pieces.shape[2])
