"""The key of a piece, by how long each pitch class sounds (Krumhansl and Schmuckler).

The profiles are what listeners rated each note after a context in C (Krumhansl and Kessler, "Tracing the dynamic
changes in perceived tonal organization in a spatial representation of musical keys", Psychological Review 89, 1982).
The key is the one of 24 whose profile correlates most.
"""

import numpy as np
from numpy.typing import NDArray

MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)


def _standardized(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = rows - rows.mean(axis=-1, keepdims=True)
    standardized: NDArray[np.float64] = centred / np.linalg.norm(centred, axis=-1, keepdims=True)
    return standardized


_PROFILES = _standardized(np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)]))


def find_key(durations: NDArray[np.float64]) -> str | None:
    """One of KEYS, from how long each pitch class sounds, C first, (12,); None where all sound equally long."""
    if np.ptp(durations) == 0:
        return None
    return KEYS[int(np.argmax(_PROFILES @ _standardized(durations)))]


def semitones_to_common(key: str | None) -> int:
    """How a piece in that key comes to C major or C minor, by the shorter way: -5 to 6."""
    return 0 if key is None else -semitones_from_common(key.split()[0])


def semitones_from_common(tonic: str) -> int:
    """How a piece in C comes to one of TONICS, by the shorter way: -6 to 5."""
    return (TONICS.index(tonic) + 6) % 12 - 6
