"""How the work grows with its size: twice the size should take twice the time.

Each series is measured at doubling sizes; the exponent is the slope of log time over log size, 1 where growth is
linear. Fixed costs make it smaller at small sizes.
"""

from collections.abc import Mapping

import numpy as np

from bench.contest import Contest
from bench.process import Answer, Contestant, Question
from bench.report import Row
from bench.sections import disturbed, milliseconds

LINEAR = 1.1
"""Largest exponent that counts as linear: its excess over 1 is what measuring does not resolve."""
ROUNDS = 3


def growth(contest: Contest) -> list[Row]:
    """Time by frames of the corpus, by frames of a piece, and by pieces of one call."""
    frames = [contest.corpus_frames * part // 4 for part in (1, 2, 4, 8)]
    one, everyone = contest.one, contest.all
    return [
        *_series(contest, "epoch", "frames", one, "train", {n: {"n_frames": n} for n in frames}),
        *_series(contest, "piece", "steps", one, "piece", {n: {"length": n} for n in (100, 200, 400, 800, 1600)}),
        *_series(contest, "call", "pieces", everyone, "pieces", {n: {"n": n} for n in (32, 64, 128, 256)}),
    ]


def _series(contest: Contest, name: str, of: str, who: Contestant, task: str, sizes: Mapping[int, Answer]) -> list[Row]:
    """A row a size, in ms, and one with the exponent."""
    questions = [Question(f"{size:,} {of}", who, task, parameters) for size, parameters in sizes.items()]
    answers = contest.ask(f"growth with {of}", questions, ROUNDS)
    times = {label: milliseconds(found) for label, found in answers.items()}
    exponent = float(np.polyfit(np.log(list(sizes)), np.log(list(times.values())), 1)[0])
    notes = {label: disturbed(found) for label, found in answers.items()}
    return [
        *(Row(f"{name} of {size}", contest.kernel, time, "ms", note=notes[size]) for size, time in times.items()),
        Row(f"growth with {of}", contest.kernel, exponent, "exponent", goal=LINEAR, note=max(notes.values())),
    ]
