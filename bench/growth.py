"""How the work grows with its size: twice the size should take twice the time.

Each series is measured at doubling sizes; the exponent is the slope of log time over log size, 1 where growth is
linear. Fixed costs make it smaller at small sizes.
"""

from collections.abc import Mapping
from statistics import median

import numpy as np

from bench.contest import Contest
from bench.process import Answer, Contestant
from bench.report import Row

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
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(ROUNDS):
        for size, parameters in sizes.items():
            answer = who.ask(task, **parameters)
            times[size].append(1e3 * answer["seconds"] / answer.get("epochs", 1))
    milliseconds = {size: median(found) for size, found in times.items()}
    contest.details[f"growth of a {name} with {of}"] = times
    exponent = float(np.polyfit(np.log(list(sizes)), np.log(list(milliseconds.values())), 1)[0])
    return [
        *(Row(f"{name} of {size:,} {of}", contest.kernel, time, "ms") for size, time in milliseconds.items()),
        Row(f"growth with {of}", contest.kernel, exponent, "exponent", goal=LINEAR),
    ]
