"""What runs off the queue: `train` and `generate`. Parameters in, an `Outcome` out, both as JSON.

A job may run twice (its worker died): it has its job's id as the id of what it makes, so the second run
finds the first one's checkpoint and publishes under the same name.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import numpy as np
import torch

from model import artefact, checkpoint
from model.config import RECIPES, ModelConfig, TrainingConfig
from model.corpus import read_rolls, statistics
from model.curve import curve_png
from model.device import choose
from model.errors import ConfigError, ModelError
from model.generation import Stopped
from model.generation import generate as generate_roll
from model.midi import write_midi
from model.pianoroll import runs
from model.rnn_rbm import RnnRbmNetwork
from model.training import TrainingState, initial_state
from model.training import train as train_network
from worker.cache import ModelCache
from worker.context import Interrupted, current_context
from worker.errors import StartError, WorkerError
from worker.protocol import GenerateJob, Kind, Outcome, Problem, Status, TrainJob
from worker.settings import Settings
from worker.store import CORPUS, GENERATION, MODEL, ArtefactStore
from worker.uploads import unpack

CHECKPOINT_SECONDS = 10.0
KERNEL = "torch"


@dataclass(frozen=True)
class Runtime:
    """What a worker process keeps from job to job."""

    store: ArtefactStore
    device: torch.device
    cache: ModelCache
    kernel: str = KERNEL


_runtime: Runtime | None = None


def prepare(kind: Kind, settings: Settings) -> Runtime:
    """Set this process up for jobs of one kind; called once, before the first.

    Raises:
        StartError: the device asked for is not there.
    """
    global _runtime  # noqa: PLW0603 (one process, one runtime: jobs are plain functions called by name)
    try:
        device = choose(settings.device)
    except ConfigError as error:
        raise StartError(str(error)) from error
    torch.set_num_threads(_threads(kind))
    store = ArtefactStore(settings.data)
    _runtime = Runtime(store, device, ModelCache(store, device))
    return _runtime


def _threads(kind: Kind) -> int:
    """For a piece one, as it is a chain of small products, and so that its sums, and its bytes, are always the same.

    For a training all cores but one: threads that wait for each other lose most of their speed where another
    process wants the same core, and requests are to be answered while a training runs.
    """
    return 1 if kind is Kind.GENERATE else max(1, torch.get_num_threads() - 1)


Job = Callable[[dict[str, Any]], dict[str, Any]]


def _outcome(function: Callable[[dict[str, Any], Runtime], Outcome]) -> Job:
    """Turn errors that are meant for the user into a failed outcome."""

    @wraps(function)
    def job(params: dict[str, Any]) -> dict[str, Any]:
        if _runtime is None:
            raise StartError("prepare() was not called in this process")
        try:
            outcome = function(params, _runtime)
        except (ModelError, WorkerError) as error:
            problem = Problem(type=type(error).__name__, detail=str(error))
            outcome = Outcome(status=Status.FAILED, problem=problem)
        return outcome.model_dump(mode="json")

    return job


@_outcome
def generate(params: dict[str, Any], runtime: Runtime) -> Outcome:
    """Sample one piece and publish it."""
    job = GenerateJob.model_validate(params)
    context = current_context()
    network = runtime.cache.get(job.model)

    def on_step(_step: int) -> bool:
        return context.stop_requested() is not None

    started = time.perf_counter()
    try:
        roll = generate_roll(
            network, job.length, seed=job.seed, gibbs_steps=job.gibbs_steps, temperature=job.temperature,
            on_step=on_step,
        )  # fmt: skip
    except Stopped as stop:
        if context.stop_requested() == "shutdown":
            raise Interrupted from stop
        return Outcome(status=Status.CANCELLED)
    config = network.config
    midi = write_midi(roll, step_seconds=job.step_seconds, pitch_range=config.pitch_range, tempo=job.tempo)
    record = {
        "id": context.job_id,
        **job.model_dump(exclude={"step_seconds"}),
        "dt": config.dt,
        "steps_per_beat": config.steps_per_beat,
        "pitch_range": list(config.pitch_range),
        "notes": len(runs(roll)[0]),
        "created_at": _now(),
    }
    files = {"piece.mid": midi, "piece.roll": np.packbits(roll).tobytes()}
    runtime.store.publish(GENERATION, context.job_id, record, files)
    seconds = round(time.perf_counter() - started, 4)
    work = {"device": str(runtime.device), "kernel": runtime.kernel, "seconds": seconds}
    return Outcome(status=Status.SUCCEEDED, result={"generation": context.job_id, "seed": job.seed, **work})


@_outcome
def train(params: dict[str, Any], runtime: Runtime) -> Outcome:
    """Learn a model from a stored corpus and publish it; a cancelled training publishes what it has learned."""
    job = TrainJob.model_validate(params)
    context = current_context()
    store = runtime.store
    model_config, config = configure(job)
    corpus = store.record(CORPUS, job.corpus)
    rolls = read_rolls(unpack(store.file(CORPUS, job.corpus, "pieces.zip")), model_config)
    state = _start(store, context.job_id, model_config, config, runtime.device)
    saved_at = time.monotonic()

    def on_epoch(state: TrainingState) -> None:
        context.report(state.epoch, config.epochs, state.history[-1])

    def should_stop() -> bool:
        nonlocal saved_at
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            store.write_checkpoint(context.job_id, checkpoint.to_bytes(state))
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
    facts = {"corpus": {**corpus, **statistics(rolls, model_config.pitch_range[0])}, "status": status}
    _publish(runtime, job, state, config, facts)
    store.drop_checkpoint(context.job_id)
    work = {"device": str(runtime.device), "kernel": runtime.kernel, "seconds": round(state.seconds, 2)}
    return Outcome(status=status, result={"model": context.job_id, "metrics": state.history[-1], **work})


def configure(job: TrainJob) -> tuple[ModelConfig, TrainingConfig]:
    """The recipe with what the job says otherwise."""
    recipe = RECIPES[job.recipe]
    said = job.model_dump(exclude_none=True)
    if "dt" in said or "steps_per_beat" in said:
        said = {"dt": None, "steps_per_beat": None} | said

    def overridden(part: ModelConfig | TrainingConfig) -> dict[str, Any]:
        return {name: said[name] for name in part.to_dict() if name in said}

    return replace(recipe.model, **overridden(recipe.model)), replace(recipe.training, **overridden(recipe.training))


def _start(
    store: ArtefactStore, job_id: str, model_config: ModelConfig, config: TrainingConfig, device: torch.device
) -> TrainingState:
    """A fresh training, or the one that an earlier run of the job left behind."""
    network = RnnRbmNetwork(model_config, torch.Generator().manual_seed(config.seed)).to(device)
    state = initial_state(network, config)
    if saved := store.checkpoint(job_id):
        checkpoint.restore(state, saved)
    return state


def _publish(
    runtime: Runtime, job: TrainJob, state: TrainingState, config: TrainingConfig, facts: dict[str, Any]
) -> None:
    model_id = current_context().job_id
    weights = artefact.to_bytes(state.network)
    record = {
        "id": model_id,
        "name": job.name or model_id,
        "created_at": _now(),
        "recipe": job.recipe,
        "config": state.network.config.to_dict(),
        "training": config.to_dict(),
        "metrics": state.history,
        "device": str(runtime.device),
        "kernel": runtime.kernel,
        "size": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
        **facts,
    }
    files = {"model.safetensors": weights, "curve.png": curve_png(state.history, title=record["name"])}
    runtime.store.publish(MODEL, model_id, record, files)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
