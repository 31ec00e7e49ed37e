"""The evaluate job: a stored model and a stored corpus in, figures out. Free of torch where the kernel is there."""

import time
from collections.abc import Callable
from typing import Any

from model.corpus import PackedRolls
from model.errors import Stopped
from model.evaluation import FIGURES_OF_CHAINS, EvaluationConfig, OnProgress
from model.evaluation import evaluate as evaluate_model
from model.likelihood import Annealing
from model.parameters import Parameters
from worker.context import Interrupted, current_context
from worker.protocol import EvaluateJob, EvaluateParams, Outcome, Status
from worker.rolls import corpus_rolls
from worker.runtime import Runtime, job
from worker.store import CORPUS


@job
def evaluate(params: dict[str, Any], runtime: Runtime) -> Outcome:
    """Evaluate a stored model on a stored corpus; its figures are the result."""
    wanted = EvaluateJob.model_validate(params)
    context = current_context()
    parameters = runtime.cache.get(wanted.model).parameters
    corpus = runtime.store.record(CORPUS, wanted.corpus)

    def should_stop() -> bool:
        return context.stop_requested() is not None

    def on_piece() -> None:
        if should_stop():
            raise Stopped

    def on_progress(done: int, total: int) -> None:
        context.report(done, total, {})

    try:
        rolls = corpus_rolls(runtime.store, corpus, parameters.config, on_piece=on_piece)
        result = figures(parameters, rolls, wanted, runtime, on_progress, should_stop)
    except Stopped as stop:
        if context.stop_requested() == "shutdown":
            raise Interrupted from stop
        return Outcome(status=Status.CANCELLED)
    return Outcome(status=Status.SUCCEEDED, result={"model": wanted.model, "corpus": wanted.corpus, **result})


def figures(
    parameters: Parameters,
    rolls: PackedRolls,
    wanted: EvaluateParams,
    runtime: Runtime,
    on_progress: OnProgress,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """The JSON of an evaluation.

    Raises:
        ModelError: there is nothing to evaluate on.
        Stopped: `should_stop` said so.
    """
    started = time.perf_counter()
    config = EvaluationConfig(
        Annealing(wanted.temperatures, wanted.chains), wanted.frames, pieces=wanted.pieces, seed=wanted.seed
    )
    found = evaluate_model(
        parameters, rolls, config, runtime.device, runtime.compiled, on_progress=on_progress, should_stop=should_stop
    )
    how = wanted.model_dump(include={"temperatures", "chains", "seed"})
    left_out = [{"file": file, "reason": reason} for file, reason in rolls.refused]
    work = runtime.work(round(time.perf_counter() - started, 2))
    return {
        **dict.fromkeys(FIGURES_OF_CHAINS),
        **found.figures,
        "music": found.music,
        **how,
        "left_out": left_out,
        **work,
    }
