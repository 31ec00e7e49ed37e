"""How well a model predicts pieces that it was not trained on, and how its own pieces compare with them.

All figures of prediction are means over frames, in which every frame counts equally, the first of a piece included
(Boulanger-Lewandowski et al. 2012; a mean of means by piece is another figure):

- `log_likelihood`: nats per frame, forward annealed importance sampling, which is too high on average;
  `log_likelihood_reverse`: from the other side, the lower of two starts (model/likelihood.py).
- `accuracy`: expected TP / max(notes there, notes predicted) of a frame drawn from its RBM, 1 where both are silent.
  It reproduces the table of the 2012 paper. `accuracy_bay`: expected TP / (TP + FP + FN), both sums over all frames
  (Bay, Ehmann and Downie 2009). `copy_accuracy…`: the same for a prediction that copies the frame before.
- `pseudo_log_likelihood`: the tutorial's monitor, with chains of 15 steps from the data; `…_from_zeros`: with chains of
  25 steps from zeros, as the tutorial generates.

A NADE's `log_likelihood` is exact, so `log_likelihood_reverse` is the same number: the worse of the two is the one to
quote for any kind of model. It has no Gibbs chain, so the figures from chains, `log_likelihood_reverse_from_…` and
`pseudo_log_likelihood…`, are not there; for the accuracy its frames are drawn exactly, after the true frames before.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.conditionals import Conditionals, conditionals, log_probabilities
from model.cores import OnStep
from model.corpus import PackedRolls
from model.draw_options import DrawOptions
from model.drawing import steps_of
from model.errors import CorpusError, Stopped
from model.kernel import Frames, Kernel, stream_of
from model.likelihood import Annealer, Annealing, annealer, log_likelihood, softplus_sums
from model.parameters import Parameters
from model.pianoroll import Roll
from model.prediction import predictions
from model.sampler import gated_sampler, sampler
from model.scoring import Scores, Values, compared
from model.statistics import describe, overlap

TUTORIAL_STEPS, GENERATION_STEPS = 15, 25
PREDICTION_STEPS = 100
FRAMES_AT_ONCE, FRAMES_ON_A_GPU = 2048, 32_768
STEPS_AT_ONCE = 3000 * FRAMES_AT_ONCE
"""Of annealing, over all frames and chains: some seconds."""

FIGURES_OF_CHAINS = (
    "log_likelihood_reverse_from_data",
    "log_likelihood_reverse_from_zeros",
    "pseudo_log_likelihood",
    "pseudo_log_likelihood_from_zeros",
)
"""Those that a NADE has not."""
OnProgress = Callable[[int, int], None]
"""Takes how many of how many frames are done."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How thoroughly a model is evaluated."""

    annealing: Annealing = field(default_factory=Annealing)
    frames: int | None = None
    """Most frames to score, drawn at random from all; None: every frame."""
    predictions: int = 10
    """Frames drawn from each RBM for the accuracy."""
    pieces: int = 100
    """Pieces sampled for the comparison with the corpus; 0: no comparison."""
    seed: int = 0


class Evaluation(NamedTuple):
    """What `evaluate` finds."""

    figures: dict[str, float]
    """Of prediction, by name."""
    music: dict[str, dict[str, float]]
    """Means of `samples` and of the `corpus`, and the `overlap` of their distributions (model/statistics.py)."""


def evaluate(
    parameters: Parameters,
    rolls: PackedRolls,
    config: EvaluationConfig,
    device: str = "cpu",
    kernel: Kernel | None = None,
    *,
    on_progress: OnProgress = lambda _done, _total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """All figures of a model on some pieces; a seed gives the same on the same device and kernel, whatever the threads.

    Raises:
        CorpusError: there is no frame to score.
        Stopped: `should_stop` said so, which is asked every few seconds.
    """
    if not rolls.n_frames:
        raise CorpusError("there is nothing to evaluate on: no piece has a single frame")
    compiled = kernel if device == "cpu" else None
    wanted = _wanted(rolls.n_frames, config)

    def go_on(done: int) -> None:
        on_progress(done, len(wanted))
        if should_stop():
            raise Stopped

    go_on(0)
    scores: list[Scores] = []
    score_frames = _nade_scores if parameters.config.kind == "lstm-nade" else _rbm_scores
    for block in score_frames(parameters, rolls, wanted, config, device, compiled):
        scores.append(block)
        go_on(sum(len(block["accuracy"]) for block in scores))
    music = compare(parameters, rolls, config, device, compiled, lambda _: should_stop()) if config.pieces else {}
    return Evaluation(summarize(scores, rolls.n_frames), music)


def _wanted(n_frames: int, config: EvaluationConfig) -> NDArray[np.int64]:
    """Numbers of the frames to score, in order."""
    if config.frames is None or config.frames >= n_frames:
        return np.arange(n_frames)
    return np.sort(np.random.default_rng(config.seed).choice(n_frames, config.frames, replace=False))


def _at_once(annealing: Annealing) -> int:
    """So few frames that who wants to stop need not wait long."""
    return max(1, min(FRAMES_AT_ONCE, STEPS_AT_ONCE // (annealing.temperatures * annealing.chains)))


def _rbm_scores(
    parameters: Parameters,
    rolls: PackedRolls,
    wanted: NDArray[np.int64],
    config: EvaluationConfig,
    device: str,
    kernel: Kernel | None,
) -> Iterator[Scores]:
    """The scores of the wanted frames, so few at a time that who wants to stop need not wait long."""
    runner, done = annealer(device, kernel), 0
    at_once = _at_once(config.annealing) if device == "cpu" else FRAMES_ON_A_GPU
    for _, pieces, rows in _pieces_to_score(rolls, wanted, max(at_once, FRAMES_AT_ONCE)):
        c = conditionals(parameters, pieces, kernel)
        previous = np.concatenate([_delayed(piece) for piece in pieces])
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            yield score(runner, c.take(some), previous[some], config, done)
            done += len(some)


def _nade_scores(
    parameters: Parameters,
    rolls: PackedRolls,
    wanted: NDArray[np.int64],
    config: EvaluationConfig,
    device: str,
    kernel: Kernel | None,
) -> Iterator[Scores]:
    """The scores of the wanted frames: their exact likelihood, and how frames drawn in their place agree with them."""
    sampler = gated_sampler(parameters, device, kernel)
    seeds = [stream_of(config.seed, number) for number in range(config.predictions)]
    for first, pieces, rows in _pieces_to_score(rolls, wanted, FRAMES_AT_ONCE):
        v = np.concatenate(pieces)[rows]
        previous = np.concatenate([_delayed(piece) for piece in pieces])[rows]
        predicted = list(predictions(sampler, pieces, rows, first, seeds))
        exact = log_probabilities(parameters, pieces, kernel)[rows]
        yield {"exact": exact, **compared(v, predicted, previous)}


def _pieces_to_score(
    rolls: PackedRolls, wanted: NDArray[np.int64], n_frames: int
) -> Iterator[tuple[int, Sequence[Roll], NDArray[np.int64]]]:
    """Pieces of about `n_frames` at a time: the number of their first frame, they, and the rows that are wanted."""
    for first, last in _blocks(rolls, n_frames):
        begin, end = rolls.offsets[[first, last]]
        rows = wanted[np.searchsorted(wanted, begin) : np.searchsorted(wanted, end)] - begin
        if len(rows):
            yield int(begin), rolls[first:last], rows


def _blocks(rolls: PackedRolls, n_frames: int) -> Iterator[tuple[int, int]]:
    """Pieces `first` to `last` whose frames together are about `n_frames`."""
    first = 0
    for last in range(1, len(rolls) + 1):
        if rolls.offsets[last] - rolls.offsets[first] >= n_frames or last == len(rolls):
            yield first, last
            first = last


def _delayed(roll: Roll) -> Roll:
    """Each frame's predecessor, silence for the first."""
    return np.concatenate([np.zeros_like(roll[:1]), roll[:-1]])


def score(runner: Annealer, c: Conditionals, previous: Frames, config: EvaluationConfig, first: int = 0) -> Scores:
    """The figures of some frames, of which `previous` (frames, n_visible) are the ones before.

    Frame i takes the random numbers of frame `first + i`.
    """
    streams = (stream_of(config.seed, number) for number in count(3))  # the likelihood has the first three

    def chains(start: Frames, steps: int) -> Frames:
        return gibbs(runner, c, start, steps, next(streams), first)

    zeros = np.zeros_like(c.v)
    likelihood = log_likelihood(runner, c, config.annealing, config.seed, first)
    predicted = [chains(zeros, PREDICTION_STEPS) for _ in range(config.predictions)]
    return {
        "forward": likelihood.forward,
        "reverse_from_data": likelihood.reverse_from_data,
        "reverse_from_zeros": likelihood.reverse_from_zeros,
        "monitor": pseudo_log_likelihood(c, chains(c.v, TUTORIAL_STEPS), next(streams)),
        "monitor_from_zeros": pseudo_log_likelihood(c, chains(zeros, GENERATION_STEPS), next(streams)),
        **compared(c.v, predicted, previous),
    }


def gibbs(runner: Annealer, c: Conditionals, start: Frames, steps: int, stream: int, first: int = 0) -> Frames:
    """Where the Gibbs chains of so many steps end that start at `start` (frames, n_visible)."""
    v, _ = runner.anneal(c, start, np.ones(steps + 1, np.float32), stream, first)
    return v


def pseudo_log_likelihood(c: Conditionals, v_sample: Frames, stream: int) -> Values:
    """The tutorial's monitor of each frame, in nats: log p(v) under the visible means one step from `v_sample`."""
    noise = np.random.default_rng(stream).logistic(size=c.bh.shape)
    h = noise < c.bh + v_sample @ c.W
    logits = c.bv + h @ c.W.T
    values: Values = np.where(c.v, logits, 0).sum(axis=1, dtype=np.float64) - softplus_sums(logits)
    return values


def summarize(scores: list[Scores], n_frames: int) -> dict[str, float]:
    """The figures of the scored frames, of `n_frames` that there are; `standard_error` is that of having drawn some."""
    values = {name: np.concatenate([block[name] for block in scores]) for name in scores[0]}
    means = {name: float(array.mean()) for name, array in values.items()}
    likelihood = values["exact" if "exact" in values else "forward"]
    n = len(likelihood)
    return {
        "log_likelihood": float(likelihood.mean()),
        **(_of_chains(means) if "exact" not in means else {"log_likelihood_reverse": means["exact"]}),
        "standard_error": float(likelihood.std() * np.sqrt((1 - n / n_frames) / n)),
        "accuracy": means["accuracy"],
        "accuracy_bay": means["hits"] / means["union"] if means["union"] else 1.0,
        "copy_accuracy": means["copy_accuracy"],
        "copy_accuracy_bay": means["copy_hits"] / means["copy_union"] if means["copy_union"] else 1.0,
        "frames": n_frames,
        "frames_scored": n,
    }


def _of_chains(means: dict[str, float]) -> dict[str, float]:
    """The figures that a model with an RBM has, and a NADE has not."""
    reverse = {name: means[name] for name in ("reverse_from_data", "reverse_from_zeros")}
    return {
        "log_likelihood_reverse": min(reverse.values()),
        **{f"log_likelihood_{name}": value for name, value in reverse.items()},
        "pseudo_log_likelihood": means["monitor"],
        "pseudo_log_likelihood_from_zeros": means["monitor_from_zeros"],
    }


def compare(
    parameters: Parameters,
    rolls: PackedRolls,
    config: EvaluationConfig,
    device: str,
    kernel: Kernel | None,
    on_step: OnStep = lambda _: False,
) -> dict[str, dict[str, float]]:
    """The model's own pieces against the corpus, beginnings of one length: the median piece's, 200 frames at most."""
    length = rolls.usual_length
    low, _ = parameters.config.pitch_range
    long_enough = np.flatnonzero(rolls.lengths >= length).tolist()
    corpus = describe((rolls.frames(piece, 0, length) for piece in long_enough), low)
    seeds = range(config.seed, config.seed + config.pieces)
    options = DrawOptions(steps_of(parameters.config.kind, "best"), on_step=on_step)
    samples = describe(sampler(parameters, device, kernel).generate(length, seeds, options), low)
    return {"samples": samples.means, "corpus": corpus.means, "overlap": overlap(samples, corpus)}
