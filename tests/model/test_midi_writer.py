"""The writer of MIDI files, beside pretty_midi's."""

from io import BytesIO

import numpy as np
import pretty_midi
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.errors import ConfigError
from model.midi_writer import ALL_NOTES_OFF, RESOLUTION, fit_grid, write_midi
from model.pianoroll import Roll, runs


def written_by_pretty_midi(
    roll: Roll, step_seconds: float, low: int, tempo: float, program: int = 0, velocity: int = 80
) -> bytes:
    """The same file from another program: a note object for each run of frames."""
    grid = fit_grid(step_seconds, tempo)
    # pretty_midi cuts a beat's microseconds off to an integer: half of one more makes that ours.
    beat = (grid.micros + 0.5) / 1e6
    step = beat * grid.step / grid.resolution
    song = pretty_midi.PrettyMIDI(resolution=grid.resolution, initial_tempo=60 / beat)
    instrument = pretty_midi.Instrument(program=program)
    instrument.notes = [
        pretty_midi.Note(velocity, low + column, start * step, end * step)
        for start, end, column in zip(*(values.tolist() for values in runs(roll)), strict=True)
    ]
    instrument.control_changes = [pretty_midi.ControlChange(ALL_NOTES_OFF, 0, len(roll) * step)]
    song.instruments.append(instrument)
    file = BytesIO()
    song.write(file)
    return file.getvalue()


@st.composite
def rolls(draw):
    """Rolls of any density, empty ones too, of keys whose range is given as its lowest."""
    seed, frames = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 40))
    low = draw(st.integers(0, 127))
    n_visible = draw(st.integers(1, 128 - low))
    roll = np.random.default_rng(seed).random((frames, n_visible)) < draw(st.sampled_from([0, 0.01, 0.1, 0.6, 1]))
    roll[: draw(st.integers(0, 5))] = False
    roll[max(0, frames - draw(st.integers(0, 5))) :] = False
    return roll, low


@settings(deadline=None, max_examples=300)
@given(rolls(), st.floats(0.01, 10), st.floats(10, 480), st.integers(0, 127), st.integers(1, 127))
@example((np.zeros((0, 88), dtype=bool), 21), 0.3, 120.0, 0, 80)
@example((np.ones((1, 128), dtype=bool), 0), 0.3, 120.0, 127, 127)
def test_the_bytes_are_those_that_pretty_midi_writes(case, step_seconds, bpm, program, velocity):
    roll, low = case
    data = write_midi(
        roll,
        step_seconds=step_seconds,
        pitch_range=(low, low + roll.shape[1]),
        tempo=bpm,
        program=program,
        velocity=velocity,
    )
    assert data == written_by_pretty_midi(roll, step_seconds, low, bpm, program, velocity)


def test_the_bytes_of_a_long_piece_are_those_that_pretty_midi_writes():
    """At a tempo and a step that do not go well together; in its last frames rounding would show."""
    roll = np.random.default_rng(0).random((20_000, 12)) < 0.02
    assert write_midi(roll, step_seconds=1 / 7, pitch_range=(60, 72), tempo=97.3) == written_by_pretty_midi(
        roll, 1 / 7, 60, 97.3
    )


@pytest.mark.parametrize(
    ("frames", "step", "quantity"),
    [
        (0x7F, 1, "7f"),
        (0x80, 1, "8100"),
        (0x3FFF, 1, "ff7f"),
        (0x4000, 1, "818000"),
        (0x7F, 0x4081, "ffff7f"),
        (0x80, 0x4000, "81808000"),
        (0x3FFF, 0x4001, "ffffff7f"),
    ],
)
def test_a_pause_of_any_length_is_written_as_the_standard_has_it(frames, step, quantity):
    """The shortest and the longest quantity of one byte, of two, of three and of four."""
    assert fit_grid(step / RESOLUTION, 60) == (RESOLUTION, step, 1_000_000)
    silence = np.zeros((frames, 1), dtype=bool)
    data = write_midi(silence, step_seconds=step / RESOLUTION, pitch_range=(60, 61), tempo=60)
    end = bytes((0xB0, ALL_NOTES_OFF, 0)) + b"\x01\xff\x2f\x00"
    assert data.endswith(b"\x00\xc0\x00" + bytes.fromhex(quantity) + end)


def test_the_same_roll_makes_the_same_bytes():
    roll = np.eye(88, dtype=bool)
    assert write_midi(roll, step_seconds=0.3) == write_midi(roll, step_seconds=0.3)


@settings(deadline=None)
@given(st.floats(0.005, 5), st.floats(10, 400))
def test_a_grid_has_whole_steps_that_are_never_late(step_seconds, bpm):
    grid = fit_grid(step_seconds, bpm)
    assert grid.step >= 1
    assert RESOLUTION <= grid.resolution < 2 * RESOLUTION
    assert grid.step / grid.resolution * grid.micros <= step_seconds * 1e6 * (1 + 1e-9)


def test_common_grids_are_exact():
    assert fit_grid(0.3, 120) == (240, 144, 500_000)
    assert fit_grid(0.25, 120) == (240, 120, 500_000)


@pytest.mark.parametrize(
    "wrong", [{"step_seconds": 0}, {"step_seconds": 1, "tempo": 0}, {"step_seconds": 1e9}, {"step_seconds": 1e-9}]
)
def test_a_step_that_no_file_can_hold_is_a_configuration_error(wrong):
    with pytest.raises(ConfigError, match=r"cannot be written|reach|too long"):
        write_midi(np.ones((1, 88), dtype=bool), **wrong)


def test_a_roll_that_does_not_fit_its_pitch_range_is_a_configuration_error():
    with pytest.raises(ConfigError, match="does not fit"):
        write_midi(np.ones((1, 12), dtype=bool), step_seconds=0.3)
