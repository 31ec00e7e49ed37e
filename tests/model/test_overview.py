"""What is counted of a set of files."""

import io

import numpy as np
from PIL import Image

from model.midi import Bounds, key_of, parse
from model.overview import LENGTH_EDGES, Overview, voices
from model.overview_plot import overview_png
from tests.pieces import midi_file, piece


def overview_of(*files: bytes) -> Overview:
    overview = Overview()
    for data in files:
        notes, info = parse(data, Bounds())
        overview.add(notes, info, key_of(notes))
    return overview


def test_voices_are_those_of_the_roll_at_half_beats() -> None:
    notes, _ = parse(midi_file(seed=3), Bounds())
    assert (voices(notes) == np.bincount(piece(seed=3).sum(axis=1), minlength=25)).all()


def test_distributions_are_of_all_pieces() -> None:
    found = overview_of(midi_file(seed=0, bars=4), midi_file(seed=1, bars=40)).to_dict()
    assert sum(found["pitches"]) == overview_of(midi_file(seed=0), midi_file(seed=1, bars=40)).notes
    assert sum(found["polyphony"]) == 8 * 44
    assert found["keys"] == {"C major": 2}
    assert found["seconds"] == {"least": 8.0, "median": 44.0, "most": 80.0}
    assert found["seconds_counts"][0] == found["seconds_counts"][LENGTH_EDGES.index(60)] == 1
    assert found["tempo"]["median"] == 120


def test_the_picture_is_drawn_for_one_note_too() -> None:
    for files in ([midi_file()], [midi_file(seed) for seed in range(3)]):
        picture = overview_png(overview_of(*files).to_dict(), title="$mine: 1 piece")
        assert Image.open(io.BytesIO(picture)).format == "PNG"
