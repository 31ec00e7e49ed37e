"""How long a recipe takes to learn: wall seconds until a metric has once been where it should be.

On all cores, which a train worker takes; the tutorial's updates of one subsequence have work for one. Slow, as the
recipe `tutorial` has 200 epochs.
"""

from bench.contest import Contest
from bench.process import Answer
from bench.report import Row

PUBLISHED = {("tutorial", -8.17): 4320.0, ("tutorial", -4.73): 86_400.0}
"""Seconds that the tutorial took: about 24 hours for 200 epochs, of which it reports the 10th and the last."""
GOALS = (("monitor", -8.17), ("monitor", -4.73), ("zero_start", -6.0))
NAMES = {"monitor": "the tutorial's monitor", "zero_start": "chains of 25 steps from zeros"}


def curves(contest: Contest) -> list[Row]:
    """A row for each recipe and goal."""
    rows = []
    for recipe in ("fast", "tutorial"):
        answer = contest.all.ask("curve", recipe=recipe, goals=GOALS)
        contest.details[f"curve of {recipe}"] = answer["history"]
        rows += [_row(contest, recipe, answer, metric, goal) for metric, goal in GOALS]
    return rows


def _row(contest: Contest, recipe: str, answer: Answer, metric: str, goal: float) -> Row:
    epochs = [epoch for epoch in answer["history"] if metric in epoch]
    reached = next((epoch for epoch in epochs if epoch[metric] >= goal), None)
    published = PUBLISHED.get((recipe, goal))
    best = max(epochs, key=lambda epoch: float(epoch[metric]))
    failed = f"not reached: best {best[metric]:.2f} in epoch {best['epoch']:.0f}"
    return Row(
        f"{recipe}: {NAMES[metric]} at {goal}",
        contest.kernel,
        reached["wall"] if reached else None,
        "s",
        "the tutorial's page" if published else "",
        published,
        note=f"in epoch {reached['epoch']:.0f}" if reached else failed,
    )
