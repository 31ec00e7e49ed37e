"""The table's main sections: each asks the contestants and makes rows of their answers."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.contest import OURS, Contest
from bench.process import Answer, Question, quiet
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

MODEL, K = RECIPES["tutorial"].model, RECIPES["tutorial"].training.gibbs_steps


def machine(contest: Contest) -> list[Row]:
    """What the machine can do, and so what it could do of this work: the best of some rounds, not their median."""
    rows: list[Row] = []
    gemms, randoms = (
        contest.ask(f"machine, {task}", [Question(str(n), who, task, {}) for n, who in contest.machine.items()], ROUNDS)
        for task in ("gemm", "random")
    )
    for n in contest.machine:
        gemm, random = _best(gemms[str(n)]), _best(randoms[str(n)])
        note = disturbed(gemms[str(n)])
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
    libraries = answers[0].keys() - {"busy", "others", "quiet"}
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
    questions = [Question(who.name, who, "train", {}) for who in (contest.one, *contest.baselines)]
    answers = contest.ask("training", questions, ROUNDS)
    rates = {name: _rate(found) for name, found in answers.items()}
    return against(contest, "training, the tutorial's updates, 1 thread", "frames/s", rates, answers)


def batched_training(contest: Contest) -> list[Row]:
    """Many subsequences an update, on all cores."""
    batched = {"n_frames": contest.corpus_frames, "n_parallel": PARALLEL}
    questions = [Question(OURS, contest.all, "train", batched)]
    questions += [Question(who.name, who, "train", {}) for who in contest.baselines if who.name.startswith("aesara")]
    answers = contest.ask("batched training", questions, ROUNDS)
    rates = {name: _rate(found) for name, found in answers.items()}
    rates[f"limit, {_cores(contest.n_cores)}"] = contest.flops[contest.n_cores] / (K * gibbs_flop(MODEL))
    name = f"training, {PARALLEL} subsequences an update, {_threads(contest)}"
    return against(contest, name, "frames/s", rates, answers)


def pieces(contest: Contest) -> list[Row]:
    """Pieces of 200 frames, 25 Gibbs steps each: one on one thread, many in one call on all cores, a worker's job."""
    asked = {"calls": CALLS}
    questions = [Question(who.name, who, "piece", asked) for who in (contest.one, *contest.baselines)]
    alone = contest.ask("piece", questions, ROUNDS)
    together = contest.ask("pieces", [Question(OURS, contest.all, "pieces", {"n": TOGETHER})], ROUNDS)
    jobs = contest.ask("job", [Question(OURS, contest.one, "job", asked)], ROUNDS)[OURS]
    times = {name: milliseconds(found) for name, found in alone.items()}
    rates = {name: 1e3 / time for name, time in times.items()}  # of the baselines, one piece after the other
    rates[OURS] = TOGETHER * 1e3 / milliseconds(together[OURS])
    times["limit, 1 core"] = 1e3 * _piece_flop() / contest.flops[1]
    rates[f"limit, {_cores(contest.n_cores)}"] = contest.flops[contest.n_cores] / _piece_flop()
    name, job = f"{TOGETHER} pieces in one call, {_threads(contest)}", "a generate worker's job, bundled model, p50"
    return [
        *against(contest, "a piece sampled, p50, 1 thread", "ms", times, alone, PIECE_GOAL),
        *against(contest, name, "pieces/s", rates, alone | together, PIECES_GOAL),
        Row(job, contest.kernel, milliseconds(jobs), "ms", note=disturbed(jobs)),
    ]


def cold_start(contest: Contest) -> list[Row]:
    """From the start of a generate worker's process until it is ready for its first job."""
    from bench.http import running_service, worker_start  # noqa: PLC0415 (starts a service: only where it is asked for)

    with running_service() as settings:
        starts = [worker_start(settings) for _ in range(ROUNDS)]
    contest.details["cold start"] = starts
    return [Row("cold start of a generate worker", contest.kernel, median(starts), "ms")]


def on_a_gpu(contest: Contest) -> list[Row]:
    """Chains, updates and pieces on a GPU, with its ceilings; nothing where there is none."""
    from bench.gpu import rows_of_run  # noqa: PLC0415 (it loads torch, which the others leave to the contestants)

    return rows_of_run(contest)


def against(
    contest: Contest,
    name: str,
    unit: str,
    figures: Mapping[str, float],
    answers: Mapping[str, Sequence[Answer]],
    goal: float | None = None,
) -> list[Row]:
    """A row for each that the product's figure is compared with; baselines that are missing have theirs too."""
    rows = []
    for other, figure in figures.items():
        if other != OURS:
            note = disturbed(answers[OURS]) or disturbed(answers.get(other, []))
            rows.append(Row(name, contest.kernel, figures[OURS], unit, other, figure, goal, note))
    for other, why in contest.missing.items():
        rows.append(Row(name, contest.kernel, figures[OURS], unit, other, None, goal, f"no {other}: {why}"))
    return rows


def disturbed(answers: Sequence[Answer]) -> str:
    """A note if no round was quiet, so that the figure says little."""
    return "" if not answers or any(answer["quiet"] for answer in answers) else "DISTURBED by other work"


def milliseconds(answers: Sequence[Answer]) -> float:
    """Median of the quiet rounds; of an epoch, where the answers are of several."""
    return 1e3 * median(float(answer["seconds"] / answer.get("epochs", 1)) for answer in quiet(answers))


def _rate(answers: Sequence[Answer]) -> float:
    return median(float(answer["frames"] / answer["seconds"]) for answer in quiet(answers))


def _cores(n: int) -> str:
    return f"{n} cores" if n > 1 else "1 core"


def _threads(contest: Contest) -> str:
    return f"{contest.n_cores} threads" if contest.n_cores > 1 else "1 thread"
