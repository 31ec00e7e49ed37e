"""What runs off the queue: `generate`, and in worker.training `train`. Parameters in, an `Outcome` out, both as JSON.

A job may run twice (its worker died): it has its job's id as the id of what it makes, so the second run
publishes under the same name. Free of torch, so that a worker for pieces starts at once.
"""

import time
from typing import Any

import numpy as np

from model.config import ModelConfig
from model.errors import Stopped
from model.kernel import Frames
from model.midi_writer import write_midi
from model.pianoroll import count_notes
from worker.context import Interrupted, current_context
from worker.protocol import GenerateJob, Outcome, Status
from worker.runtime import Runtime, job, now
from worker.store import GENERATION


@job
def generate(params: dict[str, Any], runtime: Runtime) -> Outcome:
    """Sample a piece, or several, and publish it."""
    wanted = GenerateJob.model_validate(params)
    context = current_context()
    sampler = runtime.cache.get(wanted.model)

    def on_step(_step: int) -> bool:
        return context.stop_requested() is not None

    started = time.perf_counter()
    try:
        rolls = sampler.generate(
            wanted.length, wanted.seeds, gibbs_steps=wanted.gibbs_steps, temperature=wanted.temperature, on_step=on_step
        )
    except Stopped as stop:
        if context.stop_requested() == "shutdown":
            raise Interrupted from stop
        return Outcome(status=Status.CANCELLED)
    runtime.store.publish(
        GENERATION, context.job_id, *_artefact(context.job_id, wanted, sampler.parameters.config, rolls)
    )
    work = runtime.work(round(time.perf_counter() - started, 4))
    result = {"generation": context.job_id, "seed": wanted.seed, "n": wanted.n, **work}
    return Outcome(status=Status.SUCCEEDED, result=result)


def _artefact(
    key: str, wanted: GenerateJob, config: ModelConfig, rolls: Frames
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Record and files of what was sampled; a single piece has its MIDI file, those of several are made on demand."""
    notes = count_notes(rolls).tolist()
    record = {
        "id": key,
        **wanted.model_dump(),
        "dt": config.dt,
        "steps_per_beat": config.steps_per_beat,
        "pitch_range": list(config.pitch_range),
        "notes": notes if wanted.n > 1 else notes[0],
        "created_at": now(),
    }
    files = {"piece.roll": np.packbits(rolls.reshape(wanted.n, -1), axis=1).tobytes()}
    if wanted.n == 1:
        files["piece.mid"] = write_midi(
            rolls[0], step_seconds=wanted.step_seconds, pitch_range=config.pitch_range, tempo=wanted.tempo
        )
    return record, files
