"""Pictures of piano-rolls as PNG, with Pillow alone: milliseconds where matplotlib takes hundreds."""

from colorsys import hls_to_rgb
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.config import PIANO, Sampling
from model.pianoroll import Roll, runs

PAPER, BLACK_KEY, FAINT, LINE, INK, TITLE = "#ffffff", "#f4f4f1", "#ecece8", "#d2d2cb", "#6d6d66", "#2a2a27"
GIVEN = "#8a8a83"
BLACK_KEYS = {1, 3, 6, 8, 10}
NAMED = {4: "E", 7: "G", 9: "A"}
"""Beside each C, which has its octave: as many as there is room for."""
LEFT, RIGHT, TOP, HEAD, BOTTOM = 48, 20, 16, 30, 44
WIDEST = 4000
NARROWEST = 640
FRAME_WIDTH = 5.65
"""Pixels of a frame, so that 200 are 1200 pixels wide; more for pieces too short, less for pieces too long."""
KEY_HEIGHT = 11
LABEL_EVERY = 72
"""Least pixels from one time label to the next."""
SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
BEATS = tuple(1 << power for power in range(18))


@dataclass(frozen=True)
class _Axis:
    """The time axis: `frames` of its units to a frame, labels counted from `origin`."""

    caption: str
    frames: float
    steps: tuple[int, ...]
    origin: int = 0

    def label(self, value: int) -> str:
        if self.steps is SECONDS:
            return f"{value // 60}:{value % 60:02d}"
        return f"{value + self.origin}"


def roll_png(
    roll: Roll,
    *,
    sampling: Sampling | None,
    pitch_range: tuple[int, int] = PIANO,
    title: str | None = None,
    given: Roll | None = None,
) -> bytes:
    """PNG of a roll (frames, high - low): pitch upwards, time to the right, a colour for each pitch class.

    `sampling` gives the time axis its unit, seconds or beats; None counts steps. Only the keys that
    sound are shown, with a margin and at least two octaves. At most 4000 pixels wide. Cells that are
    `given`, (frames, high - low), are grey.
    """
    given = np.zeros_like(roll) if given is None else given
    notes = [(*note, False) for note in _notes(roll & ~given)] + [(*note, True) for note in _notes(roll & given)]
    low, high = _span([pitch_range[0] + column for _, _, column, _ in notes])
    scale = _scale(len(roll))
    top = TOP + (HEAD if title else 0)
    right, bottom = LEFT + round(len(roll) * scale), top + (high - low) * KEY_HEIGHT
    image = Image.new("RGB", (max(right + RIGHT + 1, NARROWEST), bottom + BOTTOM), PAPER)
    draw = ImageDraw.Draw(image)
    _draw_keys(draw, low, high, (LEFT, top, right, bottom))
    _draw_time(draw, _axis(sampling), scale, (LEFT, top, right, bottom))
    for start, end, column, is_given in notes:
        pitch = pitch_range[0] + column
        y = bottom - (pitch - low + 1) * KEY_HEIGHT
        left, stop = LEFT + round(start * scale), LEFT + round(end * scale)
        # A pixel is left free on the right, where there is one, so that a key struck again is seen.
        colour = GIVEN if is_given else _colour(pitch)
        draw.rectangle((left, y + 1, max(left, stop - 2), y + KEY_HEIGHT - 1), fill=colour)
    draw.rectangle((LEFT, top, right, bottom), outline=LINE)
    if title:
        draw.text((LEFT, TOP), title, fill=TITLE, font=ImageFont.load_default(17))
    return _png(image)


def _notes(roll: Roll) -> list[tuple[int, int, int]]:
    """First frame, the one after the last, and column of each note."""
    return list(zip(*(values.tolist() for values in runs(roll)), strict=True))


def _span(pitches: list[int]) -> tuple[int, int]:
    """Half-open range of the MIDI notes to show."""
    low, high = (min(pitches), max(pitches) + 1) if pitches else (60, 61)
    missing = max(0, 24 - (high - low + 4))
    low = max(0, min(low - 2 - missing // 2, 128 - 24))
    return low, min(128, max(high + 2 + (missing + 1) // 2, low + 24))


def _scale(frames: int) -> float:
    """Pixels of a frame."""
    narrowest, widest = ((width - LEFT - RIGHT - 1) / max(frames, 1) for width in (NARROWEST, WIDEST))
    return min(max(FRAME_WIDTH, narrowest), widest)


def _axis(sampling: Sampling | None) -> _Axis:
    if sampling is None:
        return _Axis("step", 1, BEATS)
    if sampling.dt:
        return _Axis("time", 1 / sampling.dt, SECONDS)
    return _Axis("beat", sampling.steps_per_beat or 1, BEATS, origin=1)


def _draw_keys(draw: ImageDraw.ImageDraw, low: int, high: int, box: tuple[int, int, int, int]) -> None:
    left, _, right, bottom = box
    font, small = ImageFont.load_default(12), ImageFont.load_default(10)
    for pitch in range(low, high):
        y = bottom - (pitch - low) * KEY_HEIGHT
        if pitch % 12 in BLACK_KEYS:
            draw.rectangle((left, y - KEY_HEIGHT, right, y), fill=BLACK_KEY)
    for pitch in range(low, high):
        y = bottom - (pitch - low) * KEY_HEIGHT
        if pitch % 12 == 0:
            draw.line((left, y, right, y), fill=LINE)
            draw.text((left - 8, y - KEY_HEIGHT / 2), f"C{pitch // 12 - 1}", fill=INK, font=font, anchor="rm")
        elif pitch % 12 == 5:  # between E and F no black key parts the white ones
            draw.line((left, y, right, y), fill=FAINT)
        if name := NAMED.get(pitch % 12):
            draw.text((left - 8, y - KEY_HEIGHT / 2), name, fill=GIVEN, font=small, anchor="rm")


def _draw_time(draw: ImageDraw.ImageDraw, axis: _Axis, scale: float, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    font = ImageFont.load_default(12)
    unit = axis.frames * scale
    labelled = next((step for step in axis.steps if step * unit >= LABEL_EVERY), axis.steps[-1])
    fine = next((step for step in axis.steps if step * unit >= 10), labelled)
    for value in range(0, int((right - left) / unit) + 1, fine):
        x = left + round(value * unit)
        draw.line((x, top, x, bottom), fill=FAINT)
    for value in range(0, int((right - left) / unit) + 1, labelled):
        x = left + round(value * unit)
        draw.line((x, top, x, bottom + 5), fill=LINE)
        draw.text((x, bottom + 9), axis.label(value), fill=INK, font=font, anchor="mt" if value else "lt")
    draw.text((left - 8, bottom + 9), axis.caption, fill=INK, font=font, anchor="rt")


def _colour(pitch: int) -> tuple[int, int, int]:
    """Colour by the circle of fifths: keys of one scale are neighbours, foreign ones stand out."""
    hue = (pitch * 7 % 12) / 12 + 0.58  # C is blue
    red, green, blue = (round(255 * part) for part in hls_to_rgb(hue % 1, 0.48, 0.48))
    return red, green, blue


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
