"""The train job: a stored corpus in, a stored model out. It loads torch, which only the train worker needs."""

import hashlib
import time
from dataclasses import replace
from typing import Any

from model import artefact, checkpoint
from model.calibration import calibrate
from model.config import RECIPES, ModelConfig, TrainingConfig
from model.corpus import PackedRolls, statistics
from model.curve import curve_png
from model.errors import ModelError
from model.evaluation import EvaluationConfig, evaluate
from model.likelihood import Annealing
from model.networks import network_from, new_network
from model.parameters import Parameters
from model.sampler import sampler
from model.training import TrainingState, initial_state, keeping
from model.training import train as train_network
from model.training_set import split
from worker.context import Interrupted, JobContext, current_context
from worker.protocol import Outcome, Status, TrainJob
from worker.rolls import corpus_rolls
from worker.runtime import Runtime, job
from worker.store import CONTENTS, CORPUS, MODEL, now

CHECKPOINT_SECONDS = 10.0
LIKELIHOOD = ("log_likelihood", "log_likelihood_reverse", "standard_error", "accuracy")
"""What a model's metrics tell of the frames that were held out."""
TEMPERATURES = 1000
FEWEST_FRAMES, MOST_FRAMES = 50, 1000
MOST_WORK = 15 * 10**9
"""Frames times temperatures times weights: some seconds of a core."""


class _CancelledEarly(Exception):  # noqa: N818 (no error: the user asked for it)
    """Cancelled before there was anything to train on."""


@job
def train(params: dict[str, Any], runtime: Runtime) -> Outcome:
    """Learn a model from a stored corpus and publish it; a cancelled training publishes what it has learned."""
    wanted = TrainJob.model_validate(params)
    context = current_context()
    store = runtime.store
    model_config, config = configure(wanted)
    corpus = store.record(CORPUS, wanted.corpus)
    try:
        rolls = corpus_rolls(store, corpus, model_config, on_piece=lambda: _raise_if_stopped(context))
    except _CancelledEarly:
        return Outcome(status=Status.CANCELLED)
    state = _start(runtime, context.job_id, wanted, model_config, config)
    saved_at = time.monotonic()

    left_out = [{"file": file, "reason": reason} for file, reason in rolls.refused]
    learned_from = {**corpus, **statistics(rolls, model_config.pitch_range[0]), "left_out": left_out}

    def facts(status: str) -> dict[str, Any]:
        return {"corpus": learned_from, "status": status}

    def on_epoch(state: TrainingState) -> None:
        context.report(state.epoch, config.epochs, state.history[-1])

    def should_stop() -> bool:
        nonlocal saved_at
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            store.write_checkpoint(context.job_id, checkpoint.to_bytes(state))
            if state.history:
                store.write_snapshot(context.job_id, *_model(runtime, wanted, state, config, facts("running")))
            saved_at = time.monotonic()
        return context.stop_requested() is not None

    context.report(state.epoch, config.epochs, state.history[-1] if state.history else {})
    try:
        done = train_network(state, rolls, config, on_epoch=on_epoch, should_stop=should_stop)
    except ModelError:  # it would fail again: nothing to go on from
        store.drop_checkpoint(context.job_id)
        raise
    if not done and context.stop_requested() == "shutdown":
        store.write_checkpoint(context.job_id, checkpoint.to_bytes(state))
        raise Interrupted
    status = Status.SUCCEEDED if done else Status.CANCELLED
    if not state.history:  # cancelled before the end of the first epoch: there is nothing worth keeping
        store.drop_checkpoint(context.job_id)
        return Outcome(status=status)
    reached = state.metrics | (_likelihood(runtime, state, rolls, config) if done else {})
    heard = rolls if done else None
    record, weights = _model(runtime, wanted, state, config, facts(status) | {"reached": reached}, heard)
    files = {CONTENTS[MODEL]: weights, "curve.png": curve_png(state.history, title=record["name"])}
    store.publish(MODEL, context.job_id, record, files)
    store.drop_checkpoint(context.job_id)
    result = {"model": context.job_id, "metrics": reached, **runtime.work(round(state.seconds, 2))}
    return Outcome(status=status, result=result)


def _raise_if_stopped(context: JobContext) -> None:
    stop = context.stop_requested()
    if stop == "shutdown":
        raise Interrupted
    if stop == "cancel":
        raise _CancelledEarly


def configure(wanted: TrainJob) -> tuple[ModelConfig, TrainingConfig]:
    """The recipe with what the job says otherwise.

    Who goes on from a model has a recurrence that has learned: it is neither made anew nor trained alone at first.
    """
    recipe = RECIPES[wanted.recipe]
    said = wanted.model_dump(exclude_none=True)
    if "dt" in said or "steps_per_beat" in said:
        said = {"dt": None, "steps_per_beat": None} | said
    if wanted.init_from is not None:
        said |= {"initialization": "model", "pretraining": 0.0, "rbm_pretraining": 0}

    def overridden(part: ModelConfig | TrainingConfig) -> dict[str, Any]:
        return {name: said[name] for name in part.to_dict() if name in said}

    return replace(recipe.model, **overridden(recipe.model)), replace(recipe.training, **overridden(recipe.training))


def _start(
    runtime: Runtime, job_id: str, wanted: TrainJob, model_config: ModelConfig, config: TrainingConfig
) -> TrainingState:
    """A fresh training, one that goes on from a model, or the one that an earlier run of the job left behind."""
    saved = runtime.store.checkpoint(job_id)
    if saved is not None:  # of what kind the model is that it went on from, if any, is known from it alone
        network = new_network(checkpoint.config_of(saved), config.seed)
    elif wanted.init_from is not None:
        weights = runtime.store.file(MODEL, wanted.init_from, CONTENTS[MODEL])
        network = network_from(artefact.from_bytes(weights).without_recall())  # what it recalls is found at the end
    else:
        network = new_network(model_config, config.seed)
    chains = runtime.accelerator.chains if runtime.accelerator else None
    state = initial_state(network.to(runtime.device), config, runtime.compiled, chains)
    if saved is not None:
        checkpoint.restore(state, saved)
    return state


def _model(
    runtime: Runtime,
    wanted: TrainJob,
    state: TrainingState,
    config: TrainingConfig,
    facts: dict[str, Any],
    heard: PackedRolls | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Record and weights of the model as it is now, calibrated to be like `heard` when it plays freely."""
    model_id = current_context().job_id
    with keeping(state) as network:
        parameters = network.to_parameters()
        if heard is not None:
            parameters = _calibrated(runtime, parameters, heard)
        weights = artefact.to_bytes(parameters)
    record = {
        "id": model_id,
        "name": wanted.name or model_id,
        "description": None,
        "created_at": now(),
        "recipe": wanted.recipe,
        "init_from": wanted.init_from,
        "config": parameters.config.to_dict(),
        "training": config.to_dict(),
        "metrics": state.history,
        "device": runtime.place.label,
        "device_name": runtime.place.name,
        "kernel": runtime.kernel,
        "size": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "best_epoch": state.best_epoch or None,
        **facts,
    }
    return record, weights


def _calibrated(runtime: Runtime, parameters: Parameters, heard: PackedRolls) -> Parameters:
    """With a calibration; PyTorch would draw for it for minutes."""
    kernel = runtime.compiled or runtime.spare
    return calibrate(parameters, heard, lambda drawn: sampler(drawn, "cpu", kernel)) if kernel else parameters


def _likelihood(runtime: Runtime, state: TrainingState, rolls: PackedRolls, config: TrainingConfig) -> dict[str, float]:
    """How well the model predicts what was held out, in some seconds; nothing where nothing was."""
    held_out = split(rolls, config).held_out
    if not held_out.n_frames:
        return {}
    with keeping(state) as network:
        parameters = network.to_parameters()
        weights = parameters.arrays["W"].size
        frames = max(FEWEST_FRAMES, min(MOST_FRAMES, MOST_WORK // (TEMPERATURES * weights)))
        how = EvaluationConfig(Annealing(TEMPERATURES), frames, predictions=1, pieces=0)
        figures = evaluate(parameters, held_out, how, runtime.device, runtime.compiled).figures
    return {name: figures[name] for name in LIKELIHOOD}
