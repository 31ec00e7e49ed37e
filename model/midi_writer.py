"""Piano-rolls to standard MIDI files, byte for byte as pretty_midi writes them, without an object for every note.

A file has no field for its length, so silence at the end would be lost. The end of a piece is marked with the control
change 'all notes off' (123); the reader (model.midi) takes the later of the last note's end and the last such mark for
the length.
"""

from fractions import Fraction
from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.config import PIANO
from model.errors import ConfigError
from model.pianoroll import Roll

ALL_NOTES_OFF = 123
LONGEST_BEAT = (1 << 24) - 1
"""Microseconds of the slowest tempo a file can hold."""
LONGEST_TIME = (1 << 28) - 1
"""Ticks from one event to the next that a file can hold."""
RESOLUTION = 240
"""Ticks to the beat of a written file at least, and half of what it has at most: fine enough for editing, and
coarse enough that pretty_midi, which reads 10 million ticks, reads the longest pieces. So the greatest
denominator of a time step in beats, too."""

NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE = 0x90, 0xB0, 0xC0
"""Status bytes on channel 0. A note ends with a note-on of velocity 0, so that few events need a status."""
COMMON_TIME = b"\x00\xff\x58\x04\x04\x02\x18\x08"
"""Delta time 0 and the time signature 4/4, which is what a file without one means."""
END_OF_TRACK = b"\x01\xff\x2f\x00"
"""Delta time 1 and the end of a track."""


class Grid(NamedTuple):
    """A time grid as a MIDI file can hold it: every step is a whole number of ticks."""

    resolution: int
    """Ticks to the beat."""
    step: int
    """Ticks to the step."""
    micros: int
    """Microseconds of a beat."""


def fit_grid(step_seconds: float, tempo: float) -> Grid:
    """Grid whose step lasts `step_seconds` at a tempo as near to `tempo` as whole numbers allow.

    The beat is rounded down to microseconds, so a step is never later than asked for: read back at
    `step_seconds`, a note stays in its frame (positions are rounded up) until the rounding, at most
    1 / micros a step, adds up to a whole step. Raises ConfigError.
    """
    if not (0 < step_seconds < float("inf") and 0 < tempo < float("inf")):
        raise ConfigError(f"a step of {step_seconds:g} s at tempo {tempo:g} cannot be written: both must be positive")
    beats = max(Fraction(step_seconds * tempo / 60).limit_denominator(RESOLUTION), Fraction(1, RESOLUTION))
    # A millionth of a microsecond more, so that 0.3 s does not fall short of its 300000 microseconds.
    micros = floor(step_seconds * 1e6 / float(beats) + 1e-6)
    if not 1 <= micros <= LONGEST_BEAT:
        raise ConfigError(f"a step of {step_seconds:g} s at tempo {tempo:g} is out of a MIDI file's reach")
    resolution = beats.denominator * -(-RESOLUTION // beats.denominator)
    return Grid(resolution, int(beats * resolution), micros)


def write_midi(
    roll: Roll,
    *,
    step_seconds: float,
    pitch_range: tuple[int, int] = PIANO,
    tempo: float = 120.0,
    program: int = 0,
    velocity: int = 80,
) -> bytes:
    """Bytes of a MIDI file (format 1) that plays `roll`, (frames, high - low), and nothing random.

    Consecutive frames of a key become one note. `tempo` is in beats to the minute, `program` a General
    MIDI program, 0 to 127, `velocity` 1 to 127. `read_roll` gives the roll back, silence at both ends
    included, at dt = `step_seconds` and, where step_seconds = 60 / (tempo * steps_per_beat), at
    `steps_per_beat`; only a roll without any note is then refused. Raises ConfigError.
    """
    low, high = pitch_range
    if roll.shape[1:] != (high - low,):
        raise ConfigError(f"a roll of shape {roll.shape} does not fit the pitch range {low}..{high}")
    grid = fit_grid(step_seconds, tempo)
    if len(roll) * grid.step > LONGEST_TIME:
        raise ConfigError(f"{len(roll):,} steps of {step_seconds:g} s at tempo {tempo:g} are too long for a MIDI file")
    header = b"".join(number.to_bytes(2, "big") for number in (1, 2, grid.resolution))
    timing = b"\x00\xff\x51\x03" + grid.micros.to_bytes(3, "big") + COMMON_TIME
    music = bytes((0, PROGRAM_CHANGE, program)) + _events(roll, grid.step, low, velocity)
    return _chunk(b"MThd", header) + _chunk(b"MTrk", timing + END_OF_TRACK) + _chunk(b"MTrk", music + END_OF_TRACK)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "big") + data


def _events(roll: Roll, step: int, low: int, velocity: int) -> bytes:
    """A track's events after the program: where each key begins and ends to sound, and the mark of the piece's end."""
    frame, column, on = _edges(roll)
    end = int(np.searchsorted(frame, len(roll)))  # the mark stands before what it lets end

    def with_mark(values: NDArray[np.int64], mark: int) -> NDArray[np.int64]:
        return np.concatenate((values[:end], [mark], values[end:]))

    ticks = with_mark(frame, len(roll)) * step
    status = with_mark(np.full(len(frame), NOTE_ON), CONTROL_CHANGE)
    return _encode(
        np.diff(ticks, prepend=0), status, with_mark(low + column, ALL_NOTES_OFF), with_mark(velocity * on, 0)
    )


def _edges(roll: Roll) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Where cells differ from the frame before, by frame and then column: frame, column and whether the key is on.

    Each (edges,); the frame len(roll) is silent.
    """
    silence = np.zeros((1, roll.shape[1]), dtype=np.bool_)
    padded = np.concatenate((silence, roll, silence))
    frame, column = np.nonzero(padded[1:] != padded[:-1])
    return frame, column, padded[frame + 1, column]


def _encode(
    delta: NDArray[np.int64], status: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> bytes:
    """Events of two data bytes in running status: arrays (events,) of delta times, status bytes and data bytes."""
    table = np.empty((len(delta), 7), dtype=np.uint8)
    kept = np.ones((len(delta), 7), dtype=np.bool_)
    for column, shift in enumerate((21, 14, 7)):  # digits of seven bits, all but the last marked, none in vain
        table[:, column] = delta >> shift | 0x80
        kept[:, column] = delta >= 1 << shift
    table[:, 3] = delta & 0x7F
    table[:, 4], table[:, 5], table[:, 6] = status, first, second
    kept[:, 4] = np.diff(status, prepend=0) != 0
    return table[kept].tobytes()
