"""Corpora as rolls."""

from io import BytesIO

import numpy as np
import pytest

from model import corpus
from model.config import ModelConfig
from model.corpus import PackedRolls, read_rolls, statistics
from model.errors import CorpusError
from model.pianoroll import Roll
from tests.midi_files import midi, note
from tests.pieces import midi_file, piece

CONFIG = ModelConfig(dt=None, steps_per_beat=2)
LONG = midi(note(60, 48_000), division=48)
"""A thousand beats."""


def noise(*lengths: int, n_visible: int = 88) -> list[Roll]:
    chance = np.random.default_rng(1)
    return [chance.random((length, n_visible)) < 0.1 for length in lengths]


def saved(rolls: PackedRolls, label: str = "label") -> bytes:
    file = BytesIO()
    rolls.save(file, label)
    return file.getvalue()


def test_rolls_are_those_of_the_files_in_order() -> None:
    rolls = read_rolls([(f"{seed}.mid", midi_file(seed)) for seed in (4, 2)], CONFIG)
    assert [np.array_equal(roll, piece(seed)) for roll, seed in zip(rolls, (4, 2), strict=True)] == [True, True]


@pytest.mark.parametrize("n_visible", [1, 8, 13, 88, 128])
def test_packed_rolls_unpack_to_the_same_rolls(n_visible: int) -> None:
    rolls = noise(5, 0, 17, n_visible=n_visible)
    packed = PackedRolls.pack(iter(rolls), n_visible)
    assert packed.bits.nbytes == 22 * -(-n_visible // 8)
    assert packed.lengths.tolist() == [5, 0, 17]
    assert (len(packed), packed.n_frames) == (3, 22)
    for one, other in zip(packed, rolls, strict=True):
        assert one.dtype == np.bool_
        assert np.array_equal(one, other)


def test_packed_rolls_are_a_sequence() -> None:
    rolls = noise(3, 4, 5)
    packed = PackedRolls.pack(rolls, 88)
    assert np.array_equal(packed[-1], rolls[-1])
    assert [len(roll) for roll in packed[1:]] == [4, 5]
    with pytest.raises(IndexError):
        packed[3]


def test_some_frames_of_a_piece_are_unpacked_alone_and_never_those_of_the_next() -> None:
    rolls = noise(6, 20, 6)
    packed = PackedRolls.pack(rolls, 88)
    assert np.array_equal(packed.frames(1, 4, 9), rolls[1][4:9])
    assert np.array_equal(packed.frames(1, 15, 30), rolls[1][15:])
    assert packed.frames(1, 20, 30).shape == (0, 88)


def test_notes_are_counted_by_key_over_all_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BLOCK_FRAMES", 7)
    rolls = noise(6, 0, 20)
    assert np.array_equal(PackedRolls.pack(rolls, 88).notes_by_key(), np.concatenate(rolls).sum(axis=0))


def test_saved_rolls_are_read_under_their_label_only() -> None:
    packed = PackedRolls.pack(noise(6, 0, 20), 88)
    data = saved(packed, "one")
    loaded = PackedRolls.load(BytesIO(data), "one")
    assert np.array_equal(loaded.bits, packed.bits)
    assert np.array_equal(loaded.offsets, packed.offsets)
    assert loaded.n_visible == 88
    with pytest.raises(CorpusError, match="'one' and not 'two'"):
        PackedRolls.load(BytesIO(data), "two")


def test_no_damage_to_saved_rolls_is_taken_for_music() -> None:
    packed = PackedRolls.pack(noise(40, 10), 88)
    whole, chance = saved(packed), np.random.default_rng(1)
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[chance.integers(len(whole))] ^= 1 << chance.integers(8)
        try:
            loaded = PackedRolls.load(BytesIO(damaged), "label")
        except CorpusError:
            continue
        assert np.array_equal(loaded.bits, packed.bits)
        assert np.array_equal(loaded.offsets, packed.offsets)


def array_file() -> bytes:
    file = BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize("data", [b"", b"hello", saved(PackedRolls.pack(noise(9), 88))[:-9], array_file()])
def test_a_file_that_holds_no_rolls_is_refused(data: bytes) -> None:
    with pytest.raises(CorpusError, match="damaged"):
        PackedRolls.load(BytesIO(data), "label")


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(CorpusError, match=r"^bad\.mid: "):
        read_rolls([("good.mid", midi_file()), ("bad.mid", b"no music")], CONFIG)


def test_a_piece_too_long_at_the_time_step_is_left_out_by_name_where_that_is_asked_for() -> None:
    fine = ModelConfig(dt=None, steps_per_beat=1001)
    rolls = read_rolls([("long.mid", LONG), ("short.mid", midi(note()))], fine, strict=False)
    assert rolls.lengths.tolist() == [1001]
    [(name, reason)] = rolls.refused
    assert name == "long.mid"
    assert "1,001,000 frames at this time step" in reason
    assert PackedRolls.load(BytesIO(saved(rolls)), "label").refused == rolls.refused
    with pytest.raises(CorpusError, match=r"^long\.mid: "):
        read_rolls([("long.mid", LONG)], fine)


def test_pieces_that_are_all_left_out_are_an_error_that_says_why() -> None:
    with pytest.raises(CorpusError, match=r"none of the 2 pieces can be used; bad\.mid: not a MIDI file"):
        read_rolls([("bad.mid", b"no music"), ("worse.mid", b"")], CONFIG, strict=False)


def test_a_pitch_range_without_notes_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"pitch range 100\.\.103"):
        read_rolls([("a.mid", midi_file())], ModelConfig(pitch_range=(100, 104)))


def test_more_frames_than_memory_should_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "MAX_BYTES", 3 * 32 * 11)
    assert len(read_rolls([("a.mid", midi_file())] * 3, CONFIG)) == 3
    with pytest.raises(CorpusError, match="more than 96 frames together"):
        read_rolls([("a.mid", midi_file())] * 4, CONFIG)


def test_statistics_count_frames_and_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BLOCK_FRAMES", 3)
    rolls = [np.zeros((4, 88), dtype=bool), np.zeros((6, 88), dtype=bool)]
    rolls[0][:, 10] = True
    rolls[1][0, 20:22] = True
    expected = {"pieces": 2, "frames": 10, "polyphony": 0.6, "lowest": 31, "highest": 42, "silent": 0.5}
    assert statistics(PackedRolls.pack(rolls, 88), 21) == expected
