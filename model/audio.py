"""A plain sound for piano-rolls: each key a string that is struck and dies away, mixed into a WAV file.

No samples of an instrument and no program: additive synthesis, with partials slightly sharp as those of stiff strings
are, and dying away the faster the higher they are.
"""

import wave
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from model.pianoroll import Roll, runs

RATE = 22_050
"""Samples to the second."""
LONGEST_TONE = 8.0
"""Seconds until a key that is held is silent."""
PARTIALS = 12
STIFFNESS = 4e-4
ATTACK, RELEASE = 0.004, 0.05
"""Seconds. A note is released before its end, so that a piece ends with its last frame."""
PEAK = 0.8
BLOCK = 512

Samples = NDArray[np.float32]


def roll_wav(roll: Roll, *, step_seconds: float, lowest: int) -> bytes:
    """WAV (mono, 16 bit, 22,050 Hz) of a roll (frames, n_visible) whose first key is the MIDI note `lowest`.

    As long as the roll; its loudest sample is at four fifths of what can be written.
    """
    edges = np.round(np.arange(len(roll) + 1) * step_seconds * RATE).astype(np.int64)
    sound = np.zeros(edges[-1], np.float32)
    start, end, column = runs(roll)
    for key in np.unique(column):
        mine = column == key
        _play(sound, lowest + int(key), edges[start[mine]], edges[end[mine]])
    loudest = float(np.abs(sound).max(initial=0))
    if loudest:
        sound *= PEAK * 32767 / loudest
    return _wav(np.rint(sound).astype("<i2"))


def _play(sound: Samples, pitch: int, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    """Add notes of one key to the sound, from sample to sample."""
    lengths = np.minimum(ends - starts, round(LONGEST_TONE * RATE))
    tone = _tone(pitch, int(lengths.max()))
    fade = np.linspace(1, 0, round(RELEASE * RATE), dtype=np.float32)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        note = tone[:length].copy()
        released = min(length, len(fade))
        note[length - released :] *= fade[len(fade) - released :]
        sound[start : start + length] += note


def _tone(pitch: int, length: int) -> Samples:
    """A key struck and held, `length` samples of it."""
    pitch_hz = 440.0 * 2 ** ((pitch - 69) / 12)
    n = np.arange(1, PARTIALS + 1)
    hz = n * pitch_hz * np.sqrt(1 + STIFFNESS * n**2)
    audible = hz < RATE / 2
    n, hz = n[audible], hz[audible]
    decay = (0.5 + 0.3 * n) * 2 ** ((pitch - 60) / 24)  # a second
    exponents = (2j * np.pi * hz - decay) / RATE  # of exp, a sample
    # exp(a + b) = exp(a) exp(b): a few thousand exponentials stand for a million
    fine = np.exp(exponents[:, None] * np.arange(BLOCK)) * (n**-1.2)[:, None]  # (partials, BLOCK)
    coarse = np.exp(exponents[:, None] * np.arange(0, length, BLOCK))  # (partials, blocks)
    tone: Samples = (coarse.T @ fine).imag.astype(np.float32).ravel()[:length]
    attack = min(length, round(ATTACK * RATE))
    tone[:attack] *= np.linspace(0, 1, attack, dtype=np.float32)
    return tone


def _wav(samples: NDArray[np.int16]) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(samples.itemsize)
        writer.setframerate(RATE)
        writer.writeframes(samples.tobytes())
    return file.getvalue()
