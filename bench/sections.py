"""The table's main sections: each asks the contestants and makes rows of their answers."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.contest import OURS, OURS_ON_ALL, Contest
from bench.process import Answer, Contestant
from bench.report import Row
from bench.sizes import GENERATED_FRAMES, GENERATION_STEPS, gibbs_flop, gibbs_random_numbers, update_flop
from model.config import RECIPES

ROUNDS = 5
CALLS = 5
"""Pieces of a round."""
PARALLEL = 64
"""Subsequences of an update of the batched training."""
TOGETHER = 256
"""Pieces of one call."""
PIECE_GOAL, PIECES_GOAL = 1.5, 1200.0
"""Milliseconds of one piece on one thread; pieces a second of one call on two threads."""
CROWDED = 0.1
"""Share of its time that a measurement may have to share its cores without a note."""

MODEL, K = RECIPES["tutorial"].model, RECIPES["tutorial"].training.gibbs_steps


def machine(contest: Contest) -> list[Row]:
    """What the machine can do, and so what it could do of this work: the best of some rounds, not their median."""
    rows: list[Row] = []
    who: list[tuple[Contestant, Answer]] = [(contestant, {}) for contestant in contest.machine.values()]
    gemms = contest.ask("machine, GEMM", who, ROUNDS, "gemm")
    randoms = contest.ask("machine, random numbers", who, ROUNDS, "random")
    for n, contestant in contest.machine.items():
        gemm, random = _best(gemms[contestant.name]), _best(randoms[contestant.name])
        note = _uncrowded(gemms[contestant.name])
        contest.flops[n] = 1e9 * max(gemm.values())
        rows += [Row(f"fp32 GEMM, {_cores(n)}", by, rate, "GFLOP/s", note=note) for by, rate in gemm.items()]
        if n == 1:  # torch draws on one core, however many there are
            rows += [Row("random numbers", by, rate / 1e6, "M/s") for by, rate in random.items()]
            numbers = K * gibbs_random_numbers(MODEL)
            by = f"{numbers:,} torch.rand a frame"
            rows.append(Row(f"limit of CD-{K}, 1 core", by, random["torch.rand"] / numbers, "frames/s"))
        rows += _limits(n, contest.flops[n])
    return rows


def _best(answers: Sequence[Answer]) -> dict[str, float]:
    libraries = answers[0].keys() - {"busy", "crowded"}
    return {name: max(float(answer[name]) for answer in answers) for name in sorted(libraries)}


def _limits(n: int, flops: float) -> list[Row]:
    """Frames a second and milliseconds a piece, were there nothing but the dense products."""
    chain, update = K * gibbs_flop(MODEL), update_flop(MODEL, K)
    return [
        Row(f"limit of CD-{K}, {_cores(n)}", f"{chain / 1e3:,.0f} kFLOP a frame", flops / chain, "frames/s"),
        Row(f"limit of the whole update, {_cores(n)}", f"{update / 1e3:,.0f} kFLOP", flops / update, "frames/s"),
        Row(f"limit of a piece, {_cores(n)}", f"{_piece_flop() / 1e6:,.0f} MFLOP", 1e3 * _piece_flop() / flops, "ms"),
    ]


def _piece_flop() -> int:
    return GENERATED_FRAMES * GENERATION_STEPS * gibbs_flop(MODEL)


def training(contest: Contest) -> list[Row]:
    """The tutorial's own updates, one subsequence each, on one thread."""
    answers = contest.ask("training", [(c, {}) for c in (contest.one, *contest.baselines)], ROUNDS, "train")
    rates = {name: _rate(found) for name, found in answers.items()}
    name = "training, the tutorial's updates, 1 thread"
    return against(contest, name, "frames/s", rates, note=_alone(answers))


def batched_training(contest: Contest) -> list[Row]:
    """Many subsequences an update, on all cores."""
    batched = {"n_frames": contest.corpus_frames, "n_parallel": PARALLEL}
    aesara: list[tuple[Contestant, Answer]] = [(c, {}) for c in contest.baselines if c.name.startswith("aesara")]
    answers = contest.ask("batched training", [(contest.all, batched), *aesara], ROUNDS, "train")
    rates = {OURS if name == OURS_ON_ALL else name: _rate(found) for name, found in answers.items()}
    rates[f"limit, {_cores(contest.n_cores)}"] = contest.flops[contest.n_cores] / (K * gibbs_flop(MODEL))
    name = f"training, {PARALLEL} subsequences an update, {_threads(contest)}"
    return against(contest, name, "frames/s", rates, note=_uncrowded(answers[OURS_ON_ALL]))


def pieces(contest: Contest) -> list[Row]:
    """Pieces of 200 frames, 25 Gibbs steps each: one on one thread, many in one call on all cores, a worker's job."""
    asked = {"calls": CALLS}
    answers = contest.ask("piece", [(c, asked) for c in (contest.one, *contest.baselines)], ROUNDS, "piece")
    jobs = contest.ask("job", [(contest.one, asked)], ROUNDS, "job")
    together = contest.ask("pieces in one call", [(contest.all, {"n": TOGETHER})], ROUNDS, "pieces")
    times = {name: _milliseconds(found) for name, found in answers.items()}
    rates = {name: 1e3 / time for name, time in times.items()}  # of the baselines, one piece after the other
    rates[OURS] = TOGETHER * 1e3 / _milliseconds(together[OURS_ON_ALL])
    times["limit, 1 core"] = 1e3 * _piece_flop() / contest.flops[1]
    rates[f"limit, {_cores(contest.n_cores)}"] = contest.flops[contest.n_cores] / _piece_flop()
    name, note = f"{TOGETHER} pieces in one call, {_threads(contest)}", _uncrowded(together[OURS_ON_ALL])
    return [
        *against(contest, "a piece sampled, p50, 1 thread", "ms", times, PIECE_GOAL, _alone(answers)),
        *against(contest, name, "pieces/s", rates, PIECES_GOAL, note),
        Row("a generate worker's job, bundled model, p50", contest.kernel, _milliseconds(jobs[OURS]), "ms"),
    ]


def cold_start(contest: Contest) -> list[Row]:
    """From the start of a generate worker's process until it is ready for its first job."""
    from bench.http import running_service, worker_start  # noqa: PLC0415 (starts a service: only where it is asked for)

    with running_service() as settings:
        starts = [worker_start(settings) for _ in range(ROUNDS)]
    contest.details["cold start"] = starts
    return [Row("cold start of a generate worker", contest.kernel, median(starts), "ms")]


def against(
    contest: Contest, name: str, unit: str, figures: Mapping[str, float], goal: float | None = None, note: str = ""
) -> list[Row]:
    """A row for each that the product's figure is compared with; baselines that are missing have theirs too."""
    others: dict[str, tuple[float | None, str]] = {other: (figure, note) for other, figure in figures.items()}
    others |= {other: (None, f"no {other}: {why}") for other, why in contest.missing.items()}
    del others[OURS]
    return [
        Row(name, contest.kernel, figures[OURS], unit, other, figure, goal, why)
        for other, (figure, why) in others.items()
    ]


def _rate(answers: Sequence[Answer]) -> float:
    return median(float(answer["frames"] / answer["seconds"]) for answer in answers)


def _milliseconds(answers: Sequence[Answer]) -> float:
    return 1e3 * median(float(answer["seconds"]) for answer in answers)


def _alone(answers: Mapping[str, Sequence[Answer]]) -> str:
    """A note if someone's only core did other work too."""
    busy = min(median(answer["busy"] for answer in found) for found in answers.values())
    return "" if busy >= 1 - CROWDED else f"had {busy:.0%} of its core"


def _uncrowded(answers: Sequence[Answer]) -> str:
    """A note if there was other work for the cores that someone uses all of."""
    crowded = median(float(answer["crowded"]) for answer in answers)
    return "" if crowded <= CROWDED else f"other work waited {crowded:.0%} of the time"


def _cores(n: int) -> str:
    return f"{n} cores" if n > 1 else "1 core"


def _threads(contest: Contest) -> str:
    return f"{contest.n_cores} threads" if contest.n_cores > 1 else "1 thread"
