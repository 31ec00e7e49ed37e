"""Wrong notes that a model hears in training."""

import numpy as np

from model.pianoroll import runs
from model.slips import FURTHER, LONGER, with_slips


def notes(random: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    roll = np.zeros((400, 88), np.bool_)
    for start in range(0, 390, 10):
        roll[start : start + 5, random.integers(5, 83)] = True
    return roll


def test_a_share_of_the_notes_is_missing_beside_or_too_long() -> None:
    random = np.random.default_rng(0)
    counts = {"missing": 0, "beside": 0, "longer": 0, "right": 0}
    for _ in range(50):
        roll = notes(random)
        heard = with_slips(roll, 0.3, random)
        for start, end, key in zip(*runs(roll), strict=True):
            if heard[start:end, key].all():
                length = heard[start:, key].argmin() - (end - start)
                counts["longer" if length else "right"] += 1
                assert length <= LONGER
            elif heard[start:end, key - FURTHER : key + FURTHER + 1].any(axis=1).all():
                counts["beside"] += 1
            else:
                counts["missing"] += 1
    total = sum(counts.values())
    assert abs(counts["right"] / total - 0.7) < 0.04
    for kind, share in (("missing", 0.15), ("beside", 0.1), ("longer", 0.05)):
        assert abs(counts[kind] / total - share) < 0.03


def test_the_piece_itself_stays_and_the_same_numbers_give_the_same_slips() -> None:
    roll = notes(np.random.default_rng(1))
    before = roll.copy()
    one, other = (with_slips(roll, 0.5, np.random.default_rng(2)) for _ in "ab")
    assert (roll == before).all()
    assert (one == other).all()
    assert (one != roll).any()
    assert (with_slips(roll, 0.0, np.random.default_rng(2)) == roll).all()
