"""Many pieces as piano-rolls, and what can be said of them together."""

from collections.abc import Iterable, Sequence

import numpy as np

from model.config import ModelConfig
from model.errors import CorpusError, MidiError
from model.midi import read_roll
from model.pianoroll import Roll

MAX_CELLS = 1 << 30
"""Frames times keys of all pieces together: a gigabyte of memory."""


def read_rolls(pieces: Iterable[tuple[str, bytes]], config: ModelConfig) -> list[Roll]:
    """The rolls (frames, n_visible) of named MIDI files, as a model of that config sees them.

    Raises:
        CorpusError: no piece sounds a note within the pitch range, one cannot be read at this time step, or all
            together have too many frames.
    """
    rolls: list[Roll] = []
    cells = 0
    for name, data in pieces:
        try:
            rolls.append(read_roll(data, config.sampling, config.pitch_range))
        except MidiError as error:
            raise CorpusError(f"{name}: {error}") from error
        cells += rolls[-1].size
        if cells > MAX_CELLS:
            most = MAX_CELLS // config.n_visible
            raise CorpusError(f"the pieces have more than {most:,} frames together: choose a longer time step")
    if not any(roll.any() for roll in rolls):
        low, high = config.pitch_range
        raise CorpusError(f"no piece has a note that sounds at a frame and lies in the pitch range {low}..{high - 1}")
    return rolls


def statistics(rolls: Sequence[Roll], low: int) -> dict[str, float]:
    """Pieces, frames, mean notes a frame, lowest and highest sounding MIDI note, share of silent frames."""
    notes = np.concatenate([roll.sum(axis=1) for roll in rolls])
    keys = np.flatnonzero(np.any([roll.any(axis=0) for roll in rolls], axis=0))
    return {
        "pieces": len(rolls),
        "frames": len(notes),
        "polyphony": round(float(notes.mean()), 3),
        "lowest": int(keys[0]) + low,
        "highest": int(keys[-1]) + low,
        "silent": round(float((notes == 0).mean()), 4),
    }
