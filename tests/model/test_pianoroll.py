import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from model.pianoroll import from_notes, runs


def roll_of(*notes: tuple[float, float, int], frames: int = 6) -> list[tuple[int, int]]:
    """(frame, pitch) of the sounding cells."""
    start, end, pitch = (np.array(values) for values in zip(*notes, strict=True))
    roll = from_notes(start.astype(float), end.astype(float), pitch, frames=frames, pitch_range=(60, 64))
    assert roll.shape == (frames, 4)
    return [(int(frame), int(key) + 60) for frame, key in np.argwhere(roll)]


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (1, 3, [1, 2]),
        (1.5, 3.5, [2, 3]),
        (1.2, 1.8, []),
        (1, 1, []),
        (1 + 1e-9, 3 + 1e-9, [1, 2]),
        (1 - 1e-9, 3 - 1e-9, [1, 2]),
        (1 + 1e-3, 3 + 1e-3, [2, 3]),
        (4, 9, [4, 5]),
        (7, 9, []),
    ],
)
def test_a_frame_sounds_where_start_is_at_or_before_it_and_end_after_it(start, end, frames):
    assert roll_of((start, end, 60)) == [(frame, 60) for frame in frames]


def test_notes_outside_the_pitch_range_are_dropped():
    assert roll_of((0, 1, 59), (0, 1, 60), (0, 1, 63), (0, 1, 64)) == [(0, 60), (0, 63)]


def test_overlapping_notes_of_a_key_sound_until_the_last_one_ends():
    assert roll_of((0, 4, 60), (1, 2, 60)) == [(frame, 60) for frame in range(4)]


def test_consecutive_frames_of_a_key_are_one_note():
    roll = np.zeros((5, 3), dtype=bool)
    roll[[0, 1, 3], 2] = True
    roll[1:5, 0] = True
    assert [values.tolist() for values in runs(roll)] == [[0, 1, 3], [2, 5, 4], [2, 0, 2]]


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_the_notes_of_a_roll_make_the_roll_again(data):
    roll = data.draw(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12)))
    start, end, column = runs(roll)
    again = from_notes(start * 1.0, end * 1.0, column, frames=len(roll), pitch_range=(0, roll.shape[1]))
    np.testing.assert_array_equal(again, roll)
