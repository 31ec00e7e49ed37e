from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from model.config import Sampling
from model.curve import curve_png
from model.plot import KEY_HEIGHT, WIDEST, roll_png

BEATS = Sampling(steps_per_beat=2)


def picture(png: bytes) -> Image.Image:
    image = Image.open(BytesIO(png))
    assert image.format == "PNG"
    return image.convert("RGB")


def melody(frames: int, *columns: int) -> np.ndarray:
    roll = np.zeros((frames, 88), dtype=bool)
    for column in columns or (39,):
        roll[1::4, column] = True
    return roll


@pytest.mark.parametrize("sampling", [None, BEATS, Sampling(dt=0.3), Sampling(dt=1e-4), Sampling(steps_per_beat=96)])
@pytest.mark.parametrize("frames", [0, 1, 12, 200])
def test_any_piece_and_time_step_makes_a_picture(frames, sampling):
    image = picture(roll_png(melody(frames), sampling=sampling, title="A piece"))
    assert 600 <= image.width <= 1300
    assert image.height >= 24 * KEY_HEIGHT


def test_two_hundred_frames_are_about_1200_pixels_wide():
    assert picture(roll_png(melody(200), sampling=BEATS)).width == pytest.approx(1200, abs=20)


def test_the_longest_piece_is_scaled_down_and_every_note_still_seen():
    roll = np.zeros((20_000, 88), dtype=bool)
    roll[10_000, 39] = True
    image = picture(roll_png(roll, sampling=BEATS))
    assert image.width <= WIDEST
    colours = np.asarray(image).astype(int)
    assert (colours[..., 0] + 60 < colours[..., 2]).any()


def test_the_picture_shows_the_keys_that_sound_and_a_margin():
    narrow, wide = (picture(roll_png(melody(50, *keys), sampling=BEATS)) for keys in ((30, 40), (0, 87)))
    assert wide.height - narrow.height == (88 - 24) * KEY_HEIGHT + 4 * KEY_HEIGHT


def test_keys_at_both_ends_of_midi_can_be_shown():
    roll = np.zeros((4, 128), dtype=bool)
    for column in (0, 127):
        one = roll.copy()
        one[:, column] = True
        assert picture(roll_png(one, sampling=BEATS, pitch_range=(0, 128))).height >= 24 * KEY_HEIGHT


def test_the_same_roll_makes_the_same_picture():
    assert roll_png(melody(30), sampling=BEATS) == roll_png(melody(30), sampling=BEATS)


@pytest.mark.parametrize("epochs", [0, 1, 3, 200])
def test_curves_of_any_number_of_epochs_are_drawn(epochs):
    rows = [{"epoch": epoch, "monitor": -15 + epoch / 20, "seconds": 1.0} for epoch in range(1, epochs + 1)]
    image = picture(curve_png(rows, title="My $model"))
    assert image.width == pytest.approx(990, abs=2)


def test_a_metric_that_some_epochs_lack_is_drawn_through_the_others():
    rows = [{"epoch": 1, "monitor": -9.0, "valid": -8.0}, {"epoch": 2, "monitor": -8.0}, {"epoch": 3, "valid": -7.0}]
    assert curve_png(rows, title="") != curve_png([{"epoch": 1, "monitor": -9.0}], title="")


def test_given_cells_are_grey_and_the_others_have_the_colour_of_their_key():
    roll = melody(8, 39)
    first_half = np.arange(8)[:, None] < np.full(88, 4)
    colours = []
    for given in (None, roll & first_half, roll):
        found = picture(roll_png(roll, sampling=BEATS, given=given)).getcolors(1 << 16)
        counts = {colour: count for count, colour in found}
        colours.append((counts.get((64, 125, 181), 0), counts.get((138, 138, 131), 0)))
    (plain, text), (half, half_grey), (none, all_grey) = colours
    assert none == 0 < half < plain
    assert half_grey - text == plain - half
    assert all_grey - text == plain
