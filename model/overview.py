"""What a set of MIDI files is like, counted file by file: a few numbers are kept of each."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.midi import Notes, PieceInfo
from model.tonality import KEYS

GRID = 2
"""Instants of a beat at which the sounding notes are counted."""
MOST_VOICES = 24
"""More notes at once are counted as so many."""
LENGTH_EDGES = (0, 15, 30, 45, 60, 90, 120, 180, 240, 300, 420, 600, 1200)
"""Seconds; the last bin has no end."""
NO_KEY = "none"


def voices(notes: Notes) -> NDArray[np.int64]:
    """How often 0, 1, … notes sound at once, at each half beat of the piece, (MOST_VOICES + 1,)."""
    instants = np.arange(0, int(notes.length) * GRID, notes.tempi.ticks_per_beat) / GRID
    begun = np.searchsorted(np.sort(notes.start), instants, side="right")
    ended = np.searchsorted(np.sort(notes.end), instants, side="right")
    return np.bincount(np.minimum(begun - ended, MOST_VOICES), minlength=MOST_VOICES + 1)


def _no_pitches() -> NDArray[np.int64]:
    return np.zeros(128, np.int64)


def _no_voices() -> NDArray[np.int64]:
    return np.zeros(MOST_VOICES + 1, np.int64)


@dataclass
class Overview:
    """Sums and distributions over pieces."""

    notes: int = 0
    beats: float = 0.0
    tempi: "array[float]" = field(default_factory=lambda: array("d"))
    lengths: "array[float]" = field(default_factory=lambda: array("d"))
    """Seconds of each piece."""
    pitches: NDArray[np.int64] = field(default_factory=_no_pitches)
    voices: NDArray[np.int64] = field(default_factory=_no_voices)
    keys: Counter[str] = field(default_factory=Counter)

    def add(self, notes: Notes, info: PieceInfo, key: str | None) -> None:
        """Count one more piece."""
        self.notes += info.notes
        self.beats += info.beats
        self.tempi.append(info.tempo)
        self.lengths.append(info.seconds)
        self.pitches += np.bincount(notes.pitch, minlength=128)
        self.voices += voices(notes)
        self.keys[key or NO_KEY] += 1

    @property
    def seconds(self) -> float:
        """How long all pieces last together."""
        return sum(self.lengths)

    @property
    def tempo(self) -> float:
        """Median of the pieces' tempi, in beats to the minute."""
        return median(self.tempi)

    def to_dict(self) -> dict[str, Any]:
        """JSON form: what `service.schemas.CorpusStatistics` describes."""
        counts, _ = np.histogram(self.lengths, [*LENGTH_EDGES, np.inf])
        return {
            "pitches": self.pitches.tolist(),
            "polyphony": self.voices.tolist(),
            "keys": {key: self.keys[key] for key in (*KEYS, NO_KEY) if self.keys[key]},
            "seconds": _range(self.lengths),
            "seconds_edges": list(LENGTH_EDGES),
            "seconds_counts": counts.tolist(),
            "tempo": _range(self.tempi),
        }


def _range(values: "array[float]") -> dict[str, float]:
    return {
        "least": round(min(values), 2),
        "median": round(median(values), 2),
        "most": round(max(values), 2),
    }
