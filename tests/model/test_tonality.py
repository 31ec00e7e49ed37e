"""Keys by profiles."""

import numpy as np
import pytest

from model.tonality import KEYS, MAJOR, MINOR, TONICS, find_key, semitones_from_common, semitones_to_common


@pytest.mark.parametrize("tonic", range(12))
def test_each_key_is_found_by_its_own_scale(tonic: int) -> None:
    for mode, steps in enumerate(([0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 11])):
        durations = np.zeros(12)
        durations[np.add(steps, tonic) % 12] = 1
        durations[[tonic, (tonic + 7) % 12]] += 1  # tunes rest on tonic and dominant
        assert find_key(durations) == KEYS[12 * mode + tonic]


def test_a_profile_is_its_own_key_however_long_it_lasts() -> None:
    assert find_key(np.array(MAJOR) * 1e6) == "C major"
    assert find_key(np.roll(MINOR, 9) / 1e6) == "A minor"


def test_twelve_equal_notes_have_no_key() -> None:
    assert find_key(np.ones(12)) is None
    assert find_key(np.zeros(12)) is None


def test_a_key_comes_to_c_by_the_shorter_way() -> None:
    ways = [semitones_to_common(key) for key in KEYS]
    assert ways == 2 * [0, -1, -2, -3, -4, -5, 6, 5, 4, 3, 2, 1]
    assert [semitones_from_common(tonic) for tonic in TONICS] == [-way for way in ways[:12]]
    assert semitones_to_common(None) == 0
