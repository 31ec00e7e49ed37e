"""Wrong notes in what a model hears in training, so that it finds its way back from those that it will play itself.

A model that has heard nothing but real pieces copies its own slips: a note that was held once too often is held on.
"""

import numpy as np

from model.pianoroll import Roll, runs

SLIPS = ("missing", "missing", "missing", "beside", "beside", "longer")
"""As often as they stand here: a model that hears more notes than there are plays fewer and fewer."""
LONGER = 4
"""Frames by which a note is held too long at most."""
FURTHER = 2
"""Semitones by which a note is beside its pitch at most."""


def with_slips(roll: Roll, share: float, random: np.random.Generator) -> Roll:
    """A copy of a piece (frames, n_visible) with a share of the notes missing, beside their pitch, or too long."""
    heard = roll.copy()
    start, end, key = runs(roll)
    for note in np.flatnonzero(random.random(len(start)) < share).tolist():
        first, stop, column = int(start[note]), int(end[note]), int(key[note])
        slip = random.choice(SLIPS)
        if slip == "longer":
            heard[stop : stop + int(random.integers(1, LONGER + 1)), column] = True
            continue
        heard[first:stop, column] = False
        if slip == "beside":
            beside = column + int(random.choice([-1, 1])) * int(random.integers(1, FURTHER + 1))
            if 0 <= beside < roll.shape[1]:
                heard[first:stop, beside] = True
    return heard
