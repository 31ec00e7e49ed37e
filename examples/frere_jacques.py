"""A tune to be harmonised, as a MIDI file: python examples/frere_jacques.py tune.mid (docs/infilling.md)."""

import sys
from pathlib import Path

import numpy as np

from model.midi_writer import write_midi
from model.pianoroll import Roll

LOWEST = 69
D, E, FIS, G, A, B, LOW_A = 74, 76, 78, 79, 81, 83, 69
BARS = (
    ((D, 2), (E, 2), (FIS, 2), (D, 2)),
    ((FIS, 2), (G, 2), (A, 4)),
    ((A, 1), (B, 1), (A, 1), (G, 1), (FIS, 2), (D, 2)),
    ((D, 2), (LOW_A, 2), (D, 4)),
)
"""MIDI notes and how many half beats they last. Every bar is played twice."""
TEMPO = 120


def tune() -> Roll:
    """Frère Jacques, (half beats, keys from `LOWEST`)."""
    notes = [note for bar in BARS for note in bar * 2]
    keys = np.repeat([pitch for pitch, _ in notes], [duration for _, duration in notes])
    return np.arange(LOWEST, 85) == keys[:, None]


if __name__ == "__main__":
    file = write_midi(tune(), step_seconds=30 / TEMPO, tempo=TEMPO, pitch_range=(LOWEST, 85))
    Path(sys.argv[1]).write_bytes(file)
