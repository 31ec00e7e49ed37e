"""Small pieces of music for tests: chords with a tune over them, as MIDI files."""

import io
import zipfile

import numpy as np

from model.midi_writer import write_midi
from model.pianoroll import Roll

CHORDS = ((48, 52, 55), (53, 57, 60), (55, 59, 62), (48, 52, 55))
STEP_SECONDS = 0.25  # half a beat at 120 beats per minute


def piece(seed: int = 0, bars: int = 4) -> Roll:
    """A roll of eight frames to the bar, (8 * bars, 88)."""
    random = np.random.default_rng(seed)
    roll = np.zeros((8 * bars, 88), dtype=bool)
    for frame in range(len(roll)):
        chord = CHORDS[frame // 8 % len(CHORDS)]
        roll[frame, np.array(chord) - 21] = True
        roll[frame, random.choice(chord) + 12 - 21] = True
    return roll


def midi_file(seed: int = 0, bars: int = 4) -> bytes:
    """The same as a MIDI file."""
    return write_midi(piece(seed, bars), step_seconds=STEP_SECONDS)


def zip_file(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
