"""What a region keeps of a piece."""

import numpy as np
import pytest

from model.config import Sampling
from model.midi import TrackRolls, read_track_rolls
from model.regions import Region, RegionError, kept_cells
from tests.midi_files import midi, note

RANGE = (50, 80)
PIECE = midi(note(72, 960) + note(74, 480), note(60, 1440) + note(55, 480))
"""72, 72, 74, silence over 60, 60, 60, 55, a beat each."""


@pytest.fixture
def piece() -> TrackRolls:
    return read_track_rolls(PIECE, Sampling(steps_per_beat=1), RANGE)


def kept(piece: TrackRolls, *regions: Region) -> set[tuple[int, int]]:
    """(step, pitch) of the kept cells."""
    return {(int(step), int(key) + RANGE[0]) for step, key in np.argwhere(kept_cells(regions, piece, RANGE))}


def cells(steps: range, pitches: range) -> set[tuple[int, int]]:
    return {(step, pitch) for step in steps for pitch in pitches}


def test_no_region_keeps_nothing_and_one_without_members_keeps_all(piece: TrackRolls) -> None:
    assert kept(piece) == set()
    assert kept(piece, Region()) == cells(range(4), range(50, 80))


def test_pitches_and_steps_keep_all_cells_that_lie_in_both(piece: TrackRolls) -> None:
    assert kept(piece, Region(pitches=(60, 73))) == cells(range(4), range(60, 73))
    assert kept(piece, Region(steps=(1, 3))) == cells(range(1, 3), range(50, 80))
    assert kept(piece, Region(pitches=(60, 62), steps=(0, 2))) == cells(range(2), range(60, 62))


def test_tracks_keep_what_they_sound_only(piece: TrackRolls) -> None:
    assert kept(piece, Region(tracks=[0])) == {(0, 72), (1, 72), (2, 74)}
    assert kept(piece, Region(tracks=[1], steps=(2, 4))) == {(2, 60), (3, 55)}
    assert kept(piece, Region(tracks=[1, 0], pitches=(60, 74))) == {(0, 72), (1, 72), (0, 60), (1, 60), (2, 60)}


def test_regions_add_up(piece: TrackRolls) -> None:
    both = kept(piece, Region(tracks=[0]), Region(steps=(3, 4), pitches=(78, 80)))
    assert both == {(0, 72), (1, 72), (2, 74), (3, 78), (3, 79)}


def test_a_region_may_reach_beyond_the_piece_and_the_model(piece: TrackRolls) -> None:
    assert kept(piece, Region(pitches=(70, 128), steps=(2, 1000))) == cells(range(2, 4), range(70, 80))
    assert kept(piece, Region(pitches=(0, 51))) == cells(range(4), range(50, 51))


@pytest.mark.parametrize(
    ("region", "field", "words"),
    [
        (Region(pitches=(80, 128)), "keep[1].pitches", "outside the model's pitches"),
        (Region(pitches=(0, 50)), "keep[1].pitches", "outside the model's pitches"),
        (Region(pitches=(60, 60)), "keep[1].pitches", "empty"),
        (Region(pitches=(62, 60)), "keep[1].pitches", "empty"),
        (Region(steps=(4, 8)), "keep[1].steps", r"outside the piece's steps, \[0, 4\)"),
        (Region(steps=(-3, 0)), "keep[1].steps", "outside the piece's steps"),
        (Region(steps=(2, 2)), "keep[1].steps", "empty"),
        (Region(tracks=[0, 2]), "keep[1].tracks", "no track 2: the piece has 2"),
        (Region(tracks=[-1]), "keep[1].tracks", "no track -1"),
        (Region(tracks=[]), "keep[1].tracks", "no track is named"),
    ],
)
def test_a_region_that_holds_nothing_of_the_piece_is_named(
    piece: TrackRolls, region: Region, field: str, words: str
) -> None:
    with pytest.raises(RegionError, match=words) as error:
        kept(piece, Region(), region)
    assert error.value.field == field
    assert str(error.value).startswith(f"{field}: ")
