"""What is held out of a corpus, and how the rest is heard."""

from dataclasses import replace

import numpy as np
import pytest

from model.config import TrainingConfig
from model.corpus import PackedRolls
from model.training_set import MOST_HELD_OUT, Excerpt, TrainingSet, split

HALF = TrainingConfig(validation=0.5, seed=3)
TENTH = replace(HALF, validation=0.1)


def corpus(*lengths: int) -> PackedRolls:
    """Pieces in which frame t of piece i sounds keys i and 12 + t, modulo 12."""
    rolls = []
    for piece, length in enumerate(lengths):
        roll = np.zeros((length, 24), bool)
        roll[:, piece % 12] = True
        roll[np.arange(length), 12 + np.arange(length) % 12] = True
        rolls.append(roll)
    return PackedRolls.pack(rolls, 24)


def whole(training: TrainingSet) -> list[bytes]:
    return [training.frames(Excerpt(i, 0, length)).tobytes() for i, length in enumerate(training.lengths.tolist())]


def test_whole_pieces_are_held_out_by_the_seed() -> None:
    rolls = corpus(*range(5, 25))
    training = split(rolls, TENTH)
    held_out = training.held_out
    assert (len(training.pieces), len(held_out)) == (18, 2)
    assert {*whole(training), *(roll.tobytes() for roll in held_out)} == {roll.tobytes() for roll in rolls}
    assert whole(split(rolls, TENTH)) == whole(training)
    assert whole(split(rolls, replace(TENTH, seed=4))) != whole(training)


@pytest.mark.parametrize("lengths", [(50,), (50, 30, 0, 9)])
def test_of_few_pieces_the_ends_are_held_out(lengths: tuple[int, ...]) -> None:
    rolls = corpus(*lengths)
    training = split(rolls, TENTH)
    held_out = training.held_out
    assert training.lengths.tolist() == [length - length // 10 for length in lengths]
    assert [len(roll) for roll in held_out] == [length // 10 for length in lengths if length >= 10]
    np.testing.assert_array_equal(held_out[0], rolls[0][45:])


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_nothing_is_held_out_if_nothing_is_asked_for_or_there_is_too_little(share: float) -> None:
    rolls = corpus(4, 5) if share else corpus(40, 50)
    training = split(rolls, replace(HALF, validation=share))
    assert training.n_frames == rolls.n_frames
    assert training.held_out.n_frames == len(training.held_out) == 0


def test_of_a_large_corpus_no_more_is_held_out_than_it_takes() -> None:
    rolls = corpus(*[MOST_HELD_OUT // 4] * 20)
    training = split(rolls, HALF)
    assert (training.held_out.n_frames, training.n_frames) == (MOST_HELD_OUT, 4 * MOST_HELD_OUT)
    one_long_piece = corpus(4 * MOST_HELD_OUT)
    assert split(one_long_piece, HALF).held_out.n_frames == MOST_HELD_OUT


def test_pieces_are_moved_anew_in_each_epoch_and_stay_within_the_keys() -> None:
    training = split(corpus(12, 12, 12, 0), replace(HALF, validation=0))
    config = replace(TENTH, transpose=2)
    epochs = np.stack([training.transpositions(config, epoch) for epoch in range(40)])
    assert (np.unique(epochs[:, 0]) == [0]).all()  # it has the lowest key and the highest
    assert (np.unique(epochs[:, 1]) == [-1, 0]).all()
    assert (np.unique(epochs[:, 2]) == [-2, -1, 0]).all()
    np.testing.assert_array_equal(training.transpositions(config, 7), epochs[7])
    assert not training.transpositions(TENTH, 7).any()
    moved = training.frames(Excerpt(2, 3, 9, -2))
    np.testing.assert_array_equal(moved[:, :-2], training.frames(Excerpt(2, 3, 9))[:, 2:])
    assert moved.sum() == training.frames(Excerpt(2, 3, 9)).sum()


def test_frames_are_drawn_from_all_that_is_trained_on_and_from_nothing_else() -> None:
    training = split(corpus(20, 0, 10), TENTH)
    np.testing.assert_array_equal(training.notes_by_key()[:3], [18, 0, 9])
    drawn = training.draw(2000, np.random.default_rng(0))
    there = training.frames(Excerpt(0, 0, 18), Excerpt(2, 0, 9))
    assert {row.tobytes() for row in drawn} == {row.tobytes() for row in there}
    assert drawn[:, 2].mean() == pytest.approx(9 / 27, abs=0.05)
