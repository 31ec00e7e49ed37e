"""How a roll sounds."""

import io
import wave

import numpy as np
import pytest

from model.audio import RATE, roll_wav
from model.pianoroll import Roll

A4 = 69


def samples(wav: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(wav)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, RATE)
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(float)


def roll_with(frames: int, *cells: tuple[int, int]) -> Roll:
    roll = np.zeros((frames, 88), np.bool_)
    for frame, pitch in cells:
        roll[frame, pitch - 21] = True
    return roll


@pytest.mark.parametrize(("frames", "step_seconds"), [(0, 0.25), (1, 0.25), (7, 1 / 3), (200, 0.3)])
def test_it_is_as_long_as_the_roll(frames: int, step_seconds: float) -> None:
    roll = np.ones((frames, 88), np.bool_)
    assert len(samples(roll_wav(roll, step_seconds=step_seconds, lowest=21))) == round(frames * step_seconds * RATE)


def test_silence_is_silent_and_a_note_sounds_in_its_frames_only() -> None:
    assert not samples(roll_wav(roll_with(4), step_seconds=0.25, lowest=21)).any()
    sound = samples(roll_wav(roll_with(4, (1, A4), (2, A4)), step_seconds=0.25, lowest=21))
    quarters = np.abs(sound[: len(sound) // 4 * 4].reshape(4, -1)).max(axis=1)
    assert quarters[0] < 10
    assert quarters[1] > quarters[2] > 1000  # it dies away
    assert quarters[3] < 10


@pytest.mark.parametrize("pitch", [33, A4, 96])
def test_a_key_has_its_pitch(pitch: int) -> None:
    sound = samples(roll_wav(roll_with(1, (0, pitch)), step_seconds=2.0, lowest=21))
    spectrum = np.abs(np.fft.rfft(sound))
    hz = 440 * 2 ** ((pitch - A4) / 12)
    assert np.argmax(spectrum) * RATE / len(sound) == pytest.approx(hz, rel=0.01)


def test_all_keys_at_once_do_not_clip() -> None:
    sound = samples(roll_wav(np.ones((8, 128), np.bool_), step_seconds=0.25, lowest=0))
    assert 26_000 < np.abs(sound).max() < 26_300


def test_the_same_roll_has_the_same_bytes() -> None:
    roll = np.random.default_rng(0).random((30, 88)) < 0.05
    assert roll_wav(roll, step_seconds=0.1, lowest=21) == roll_wav(roll, step_seconds=0.1, lowest=21)
