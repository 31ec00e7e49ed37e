"""Corpora as rolls."""

import numpy as np
import pytest

from model import corpus
from model.config import ModelConfig
from model.corpus import read_rolls, statistics
from model.errors import CorpusError
from tests.pieces import midi_file, piece

CONFIG = ModelConfig(dt=None, steps_per_beat=2)


def test_rolls_are_those_of_the_files_in_order() -> None:
    rolls = read_rolls([(f"{seed}.mid", midi_file(seed)) for seed in (4, 2)], CONFIG)
    assert [np.array_equal(roll, piece(seed)) for roll, seed in zip(rolls, (4, 2), strict=True)] == [True, True]


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(CorpusError, match=r"^bad\.mid: "):
        read_rolls([("good.mid", midi_file()), ("bad.mid", b"no music")], CONFIG)


def test_a_pitch_range_without_notes_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"pitch range 100\.\.103"):
        read_rolls([("a.mid", midi_file())], ModelConfig(pitch_range=(100, 104)))


def test_more_frames_than_memory_should_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "MAX_CELLS", 3 * 32 * 88)
    assert len(read_rolls([("a.mid", midi_file())] * 3, CONFIG)) == 3
    with pytest.raises(CorpusError, match="more than 96 frames together"):
        read_rolls([("a.mid", midi_file())] * 4, CONFIG)


def test_statistics_count_frames_and_notes() -> None:
    rolls = [np.zeros((4, 88), dtype=bool), np.zeros((6, 88), dtype=bool)]
    rolls[0][:, 10] = True
    rolls[1][0, 20:22] = True
    expected = {"pieces": 2, "frames": 10, "polyphony": 0.6, "lowest": 31, "highest": 42, "silent": 0.5}
    assert statistics(rolls, 21) == expected
