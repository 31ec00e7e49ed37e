import tracemalloc
from contextlib import suppress
from io import BytesIO

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.config import Sampling
from model.errors import MidiError
from model.midi import Bounds, describe, read_roll, read_track_rolls
from model.midi_writer import ALL_NOTES_OFF, write_midi
from tests.midi_files import END, FURTHEST, chunk, control, event, midi, note, quantity, tempo

BEATS = Sampling(steps_per_beat=1)
HALF_SECONDS = Sampling(dt=0.5)


def cells(data: bytes, sampling: Sampling = BEATS) -> list[tuple[int, int]]:
    """(frame, pitch) of a file's sounding cells."""
    return [(int(frame), int(key) + 21) for frame, key in np.argwhere(read_roll(data, sampling))]


@st.composite
def rolls(draw, n_visible=88):
    """Rolls with at least one note and, often, silence at either end."""
    seed, frames = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 40))
    roll = np.random.default_rng(seed).random((frames, n_visible)) < draw(st.sampled_from([0.01, 0.1, 0.6, 1]))
    roll[: draw(st.integers(0, 5))] = False
    roll[frames - draw(st.integers(0, 5)) :] = False
    roll[draw(st.integers(0, frames - 1)), draw(st.integers(0, n_visible - 1))] = True
    return roll


@settings(deadline=None, max_examples=60)
@given(rolls(), st.floats(0.01, 2), st.floats(20, 300))
def test_a_roll_written_at_any_time_step_is_read_back(roll, dt, bpm):
    data = write_midi(roll, step_seconds=dt, tempo=bpm)
    np.testing.assert_array_equal(read_roll(data, Sampling(dt=dt)), roll)


@settings(deadline=None, max_examples=60)
@given(rolls(), st.integers(1, 32), st.floats(20, 300))
def test_a_roll_written_in_steps_of_a_beat_is_read_back_in_beats_and_in_seconds(roll, steps_per_beat, bpm):
    step = 60 / (bpm * steps_per_beat)
    data = write_midi(roll, step_seconds=step, tempo=bpm)
    np.testing.assert_array_equal(read_roll(data, Sampling(steps_per_beat=steps_per_beat)), roll)
    np.testing.assert_array_equal(read_roll(data, Sampling(dt=step)), roll)
    assert describe(data).tempo == pytest.approx(bpm, rel=1e-4)


@settings(deadline=None, max_examples=20)
@given(arrays(bool, (7, 12)).filter(np.any))
def test_a_roll_of_another_pitch_range_is_read_back(roll):
    data = write_midi(roll, step_seconds=0.3, pitch_range=(60, 72))
    np.testing.assert_array_equal(read_roll(data, Sampling(dt=0.3), (60, 72)), roll)


@settings(deadline=None, max_examples=20)
@given(rolls(), st.sampled_from([0.1, 0.3, 0.5]), st.floats(40, 200))
def test_pretty_midi_finds_the_same_notes_and_a_length_of_all_frames(roll, dt, bpm):
    song = pretty_midi.PrettyMIDI(BytesIO(write_midi(roll, step_seconds=dt, tempo=bpm)))
    assert song.get_end_time() == pytest.approx(len(roll) * dt, rel=1e-4)
    assert sum(len(instrument.notes) for instrument in song.instruments) == np.sum(
        np.diff(roll.astype(int), axis=0, prepend=0) == 1
    )


def test_a_long_piece_keeps_its_grid_to_the_last_frame():
    roll = np.zeros((20_000, 88), dtype=bool)
    roll[::2, 40] = True
    for dt, bpm in ((0.3, 120.0), (0.3, 131.7), (1 / 7, 97.3)):
        data = write_midi(roll, step_seconds=dt, tempo=bpm)
        np.testing.assert_array_equal(read_roll(data, Sampling(dt=dt)), roll)


def test_a_silent_roll_can_be_written_but_not_read_for_it_has_no_notes():
    data = write_midi(np.zeros((10, 88), dtype=bool), step_seconds=0.3)
    with pytest.raises(MidiError, match="no notes"):
        read_roll(data, HALF_SECONDS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, this is a letter", "does not begin with MThd"),
        (b"RIFF\x50\x00\x00\x00RMIDdata" + midi(note()), "RIFF"),
        (midi(note())[:10], "middle of its header"),
        (midi(note())[:-6], "middle of a track"),
        (midi(note())[:20], "after 0 of its 1 tracks"),
        (midi(note(), note())[:39], "after 1 of its 2 tracks"),
        (midi(note(), note(), form=2), "format 2 .* save it as format 1"),
        (midi(note(), form=7), "format 7 is unknown"),
        (midi(note(), division=0xE728), "SMPTE"),
        (midi(note(), division=0), "0 ticks to the beat"),
        (midi(tempo(0) + note()), "tempo of 0"),
        (midi(event(0, 60, 80)), "damaged"),
        (midi(event(0, 0x90, 60, 80) + b"\xff\xff\xff\xff\x7f" + bytes([0x80, 60, 0])), "damaged"),
        (midi(), "no notes"),
        (midi(b""), "no notes"),
        (midi(event(0, 0x90, 60, 80)), "no notes"),
        (midi(note(ticks=0)), "has no notes$"),
        (midi(note(channel=9)), "no notes but drums"),
        (midi(note() + note(delta=FURTHEST) + control(7, delta=FURTHEST) * 8 + note()), "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_in_words(data, words):
    with pytest.raises(MidiError, match=words):
        read_roll(data, BEATS)
    with pytest.raises(MidiError, match=words):
        describe(data)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_damage_to_a_file_raises_anything_but_a_midi_error(data):
    raw = bytearray(midi(tempo(400_000) + note(), note(64) + note(67, 100) + control(ALL_NOTES_OFF, delta=99)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MidiError):
        read_roll(bytes(raw[: data.draw(st.integers(0, len(raw)))]), BEATS)


@pytest.mark.parametrize(
    ("data", "bounds", "words"),
    [
        (midi(note(ticks=FURTHEST)), Bounds(), r"lasts 77.7 hours; at most 4 hours"),
        (midi(note() + control(ALL_NOTES_OFF, delta=FURTHEST)), Bounds(), "lasts 77.7 hours"),
        (midi(tempo(1) + note(ticks=FURTHEST)), Bounds(), "559,241 beats; at most 100,000"),
        (midi(note(ticks=480 * 20)), Bounds(max_seconds=5), "lasts 10 seconds; at most 5 seconds"),
        (midi(note() * 11), Bounds(max_notes=10), "11 notes; at most 10"),
        (midi(note() * 11), Bounds(max_bytes=64), "larger than"),
        (midi(note() * 11), Bounds(max_frames=10), "11 frames .* at most 10"),
    ],
)
def test_a_file_beyond_a_bound_is_refused_before_memory_is_taken(data, bounds, words):
    tracemalloc.start()
    try:
        with pytest.raises(MidiError, match=words):
            read_roll(data, BEATS, bounds=bounds)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", [0, 1])
def test_formats_0_and_1_are_read(form):
    assert cells(midi(note(60) + note(64), form=form)) == [(0, 60), (1, 64)]


def test_running_status_and_note_on_of_velocity_0_are_read():
    assert cells(midi(event(0, 0x90, 60, 80) + event(480, 60, 0) + event(0, 62, 80) + event(480, 62, 0))) == [
        (0, 60),
        (1, 62),
    ]


def test_all_tracks_sound_together():
    assert cells(midi(tempo(500_000), note(60), note(64, 960, channel=3))) == [(0, 60), (0, 64), (1, 64)]


def test_chunks_of_unknown_kind_are_passed_over():
    header, track = midi(note(60))[:14], midi(note(60))[14:]
    assert cells(header + chunk(b"XFIH", b"abc") + track) == [(0, 60)]


def test_a_header_that_promises_more_tracks_than_there_are_is_forgiven():
    assert cells(midi(note(60), count=3)) == [(0, 60)]


def test_drums_are_left_out_and_count_neither_as_notes_nor_for_the_length():
    data = midi(note(60), note(36, 4800, channel=9))
    assert cells(data) == [(0, 60)]
    assert len(read_roll(data, BEATS)) == 1
    info = describe(data)
    assert (info.notes, info.drum_notes, info.tracks) == (1, 1, 1)


def test_notes_outside_the_pitch_range_leave_no_mark_but_count_for_the_length():
    roll = read_roll(midi(note(60) + note(80, 960)), BEATS, (48, 72))
    assert roll.shape == (3, 24)
    assert np.argwhere(roll).tolist() == [[0, 12]]


def test_overlapping_notes_of_a_key_sound_until_the_last_release():
    twice = event(0, 0x90, 60, 80) + event(480, 60, 80) + event(480, 60, 0) + event(480, 60, 0)
    assert cells(midi(twice)) == [(0, 60), (1, 60), (2, 60)]


def test_a_note_of_no_length_leaves_no_mark():
    assert cells(midi(note(60, 0) + note(64))) == [(0, 64)]


def test_all_notes_off_after_the_last_note_keeps_the_silence_at_the_end():
    assert len(read_roll(midi(note() + control(ALL_NOTES_OFF, delta=960)), BEATS)) == 3
    assert len(read_roll(midi(control(ALL_NOTES_OFF) + note()), BEATS)) == 1


def test_seconds_follow_tempo_changes_wherever_they_stand_and_beats_do_not():
    # Two beats of half a second, then one of two seconds.
    song, changes = note(60) + note(62) + note(64), tempo(500_000) + tempo(2_000_000, delta=960)
    for data in (midi(changes, song), midi(song, changes)):
        assert cells(data, HALF_SECONDS) == [(0, 60), (1, 62), (2, 64), (3, 64), (4, 64), (5, 64)]
        assert cells(data) == [(0, 60), (1, 62), (2, 64)]
        assert describe(data).seconds == 3
        assert describe(data).tempo == 120


def test_a_file_without_tempo_plays_at_120():
    assert cells(midi(note(60) + note(62)), HALF_SECONDS) == [(0, 60), (1, 62)]


def test_a_piece_is_described_without_a_roll():
    info = describe(midi(tempo(600_000), note(48) + note(72, 720)))
    assert (info.notes, info.lowest, info.highest, info.format) == (2, 48, 72, 1)
    assert (info.beats, info.seconds, info.tempo) == (2.5, 1.5, 100)
    assert info.frames(BEATS) == 3
    assert info.frames(Sampling(dt=0.3)) == 5


def test_the_helper_writes_the_quantities_of_the_standard():
    table = {0: "00", 0x7F: "7f", 0x80: "8100", 0x2000: "c000", 0x1FFFFF: "ffff7f", FURTHEST: "ffffff7f"}
    assert {value: quantity(value).hex() for value in table} == table
    assert midi(b"").endswith(END)


def track_cells(data: bytes) -> list[list[tuple[int, int]]]:
    """(beat, pitch) of the sounding cells of each track."""
    return [[(int(beat), int(key) + 21) for beat, key in np.argwhere(roll)] for roll in read_track_rolls(data, BEATS)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (midi(note(72), note(60, 960)), [[(0, 72)], [(0, 60), (1, 60)]]),
        (midi(tempo(400_000), note(72), control(7), note(60)), [[(0, 72)], [(0, 60)]]),
        (midi(note(40, channel=9), note(72), note(60)), [[(0, 72)], [(0, 60)]]),
        (midi(note(72, channel=3), note(60, channel=1)), [[(0, 72)], [(0, 60)]]),
        (midi(note(72, channel=1) + note(60, channel=0), note(50)), [[(1, 60)], [(0, 72)], [(0, 50)]]),
        (midi(note(72, channel=1) + note(60, channel=0), form=0), [[(1, 60)], [(0, 72)]]),
        (midi(note(72) + event(0, 0xC0, 9) + note(60)), [[(0, 72)], [(1, 60)]]),
    ],
    ids=["two", "those without notes", "drums", "channels", "several channels in a track", "format 0", "programs"],
)
def test_tracks_are_those_that_sound_in_the_order_of_the_file(data, expected):
    assert track_cells(data) == expected


def test_the_tracks_of_a_piece_make_up_its_roll_and_are_as_long():
    data = midi(note(72, 960), note(60) + note(64, 480, delta=960))
    tracks = read_track_rolls(data, BEATS)
    np.testing.assert_array_equal(tracks.roll, read_roll(data, BEATS))
    np.testing.assert_array_equal(np.logical_or(*tracks), tracks.roll)
    assert [roll.shape for roll in tracks] == [(4, 88)] * 2


@pytest.mark.parametrize("pitch", [59, 72])
def test_a_note_that_the_model_does_not_have_is_an_error_where_a_piece_is_played_on(pitch):
    data = midi(note(60), note(pitch))
    assert len(read_track_rolls(data, BEATS)) == 2
    with pytest.raises(MidiError, match=rf"{pitch}.* the model has only 60 to 71"):
        read_track_rolls(data, BEATS, (60, 72))


def test_a_piece_of_too_many_frames_is_refused_track_by_track_too():
    with pytest.raises(MidiError, match="frames at this time step"):
        read_track_rolls(midi(note(60, 4800)), BEATS, bounds=Bounds(max_frames=9))


def chorale(tonic: int, third: int) -> bytes:
    """Triads on tonic, subdominant, dominant and tonic again, each of a beat, in a major or minor key."""
    roots = (0, 5, 7, 0)
    voices = [b"".join(note(60 + tonic + root + step) for root in roots) for step in (0, third, 7)]
    return midi(*voices)


@pytest.mark.parametrize("third", [4, 3], ids=["major", "minor"])
@pytest.mark.parametrize("tonic", range(-6, 6))
def test_in_common_tonality_pieces_in_all_keys_are_the_same(tonic: int, third: int) -> None:
    common = read_roll(chorale(tonic, third), BEATS, tonality="common")
    np.testing.assert_array_equal(common, read_roll(chorale(0, third), BEATS))
    assert np.array_equal(read_roll(chorale(tonic, third), BEATS), common) == (tonic == 0)


def test_drums_say_nothing_of_the_key() -> None:
    drums = b"".join(note(61 + 2 * (i % 3), channel=9) for i in range(40))
    both = midi(chorale_track(), drums)
    np.testing.assert_array_equal(
        read_roll(both, BEATS, tonality="common"), read_roll(midi(chorale_track()), BEATS, tonality="common")
    )


def chorale_track() -> bytes:
    """A tune in D major."""
    return b"".join(note(pitch) for pitch in (62, 64, 66, 69, 66, 64, 62))


def test_beats_stay_on_the_grid_whatever_the_tempo_does() -> None:
    """Ritardando and accelerando within and between the notes: frames count beats, so each note has its two."""
    slower = [tempo(400_000 + 50_000 * i, delta=0 if i == 0 else 240) for i in range(8)]
    tune = b"".join(note(pitch) for pitch in (60, 62, 64, 65))
    roll = read_roll(midi(b"".join(slower), tune), Sampling(steps_per_beat=2))
    assert [int(np.flatnonzero(frame)[0]) + 21 for frame in roll] == [60, 60, 62, 62, 64, 64, 65, 65]
    assert roll.sum() == 8
