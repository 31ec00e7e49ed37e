"""What music is like in figures, on pieces small enough to count by hand."""

import numpy as np
import pytest

from model.statistics import STRETCH, describe, overlap, repetition

LOW = 60


def roll(*frames: tuple[int, ...], n_visible: int = 24) -> np.ndarray:
    """A frame for each tuple of columns."""
    made = np.zeros((len(frames), n_visible), dtype=bool)
    for t, columns in enumerate(frames):
        made[t, list(columns)] = True
    return made


def test_the_figures_of_a_piece_counted_by_hand() -> None:
    """C and E held for two frames, then F sharp alone, then silence: 3 notes in 4 frames, all of them in G major."""
    found = describe([roll((0, 4), (0, 4), (18,), ())], LOW)
    assert found.means == pytest.approx(
        {
            "polyphony": 5 / 4,
            "note_length": 5 / 3,
            "pitch_range": 18,
            "scale_consistency": 1,
            "repetition": 0,
        }
    )
    assert found.distributions["polyphony"][:3] == pytest.approx([0.25, 0.25, 0.5])
    assert found.distributions["pitch_class"][[0, 4, 6]] == pytest.approx([0.4, 0.4, 0.2])
    assert found.distributions["note_length"][:2] == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("columns", "share"),
    [((0, 2, 4, 5, 7, 9, 11), 1.0), ((9, 11, 12, 14, 16, 17, 19), 1.0), (tuple(range(12)), 7 / 12), ((0, 1, 2), 2 / 3)],
    ids=["C major", "A minor", "chromatic", "cluster"],
)
def test_scale_consistency_is_the_share_of_notes_in_the_best_scale(columns: tuple[int, ...], share: float) -> None:
    for transposed in (LOW, LOW + 5):
        assert describe([roll(*((c,) for c in columns))], transposed).means["scale_consistency"] == pytest.approx(share)


def test_a_theme_that_returns_counts_once_it_was_heard() -> None:
    random = np.random.default_rng(1)
    theme, bridge = random.random((STRETCH + 2, 24)) < 0.2, random.random((7, 24)) < 0.2
    assert repetition(np.concatenate([theme, bridge, theme])) == pytest.approx(10 / 27)
    assert repetition(np.concatenate([theme, bridge, theme[: STRETCH - 1]])) == 0
    assert repetition(np.concatenate([theme, theme, theme])) == pytest.approx(20 / 30)
    slip = theme.copy()
    slip[STRETCH // 2, 3] ^= True
    assert repetition(np.concatenate([theme, bridge, slip])) == 0


def test_a_chord_held_longer_than_twice_a_stretch_repeats_itself() -> None:
    """A stretch and its return do not overlap."""
    assert repetition(roll(*[(0, 4)] * (2 * STRETCH - 1))) == 0
    assert repetition(roll(*[(0, 4)] * (2 * STRETCH))) == 0.5
    assert repetition(roll((0,))) == 0


def test_equal_sets_overlap_fully_and_disjoint_ones_not_at_all() -> None:
    tune, chord = roll((0,), (2,), (4,)), roll(*[(13, 17, 20)] * 20)
    assert overlap(describe([tune, chord], LOW), describe([chord, tune], LOW)) == pytest.approx(
        dict.fromkeys(describe([tune], LOW).distributions, 1.0)
    )
    found = overlap(describe([tune], LOW), describe([chord], LOW))
    assert found["polyphony"] == found["pitch_class"] == found["note_length"] == found["repetition"] == 0


def test_half_of_two_sets_alike_overlaps_by_half() -> None:
    tune, chord = roll((0,), (2,), (4,)), roll(*[(1, 5, 8)] * 3)
    assert overlap(describe([tune, chord], LOW), describe([tune], LOW))["polyphony"] == pytest.approx(0.5)


def test_silent_pieces_count_as_silence_and_nothing_else() -> None:
    tune, silence = roll((0,), (2,)), roll((), ())
    with_silence, without = describe([tune, silence], LOW), describe([tune], LOW)
    assert with_silence.means == without.means | {"polyphony": 0.5}
    assert describe([silence], LOW).means == {"polyphony": 0}
    assert set(overlap(with_silence, describe([silence], LOW))) == set(with_silence.distributions)
