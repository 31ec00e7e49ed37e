"""What runs off the queue: `generate`, and in worker.training `train`. Parameters in, an `Outcome` out, both as JSON.

A job may run twice (its worker died): it has its job's id as the id of what it makes, so the second run
publishes under the same name. Free of torch, so that a worker for pieces starts at once.
"""

import time
from typing import Any

import numpy as np

from model.config import ModelConfig
from model.cores import OnStep
from model.draw_options import DrawOptions
from model.errors import Stopped
from model.kernel import Frames
from model.likelihood import piece_log_likelihood
from model.midi_writer import write_midi
from model.pianoroll import count_notes
from model.sampler import Sampler, in_way
from worker.context import Interrupted, JobContext, current_context
from worker.given import clamp_of, kept_of, particles_of, primer_of
from worker.protocol import GenerateJob, Outcome, Status
from worker.runtime import Runtime, job
from worker.store import GENERATION, now

PROGRESS_SECONDS = 0.5


@job
def generate(params: dict[str, Any], runtime: Runtime) -> Outcome:
    """Sample a piece, or several, and publish it."""
    wanted = GenerateJob.model_validate(params)
    context = current_context()
    sampler = in_way(runtime.cache.get(wanted.model), wanted.sampler)
    total = wanted.n * (wanted.length - wanted.primer_length)
    started = time.perf_counter()
    try:
        rolls = _pieces(runtime, sampler, wanted, _watched_by(context, total))
    except Stopped as stop:
        if context.stop_requested() == "shutdown":
            raise Interrupted from stop
        return Outcome(status=Status.CANCELLED)
    record, files = _artefact(context.job_id, wanted, sampler.parameters.config, rolls)
    if (kept := kept_of(wanted)) is not None:
        files["kept.roll"] = np.packbits(kept).tobytes()
    if not runtime.has_kernel:  # where there is one, whoever asks for the figure computes it in milliseconds
        record["log_likelihood"] = [
            piece_log_likelihood(sampler.parameters, roll, runtime.device, None) for roll in rolls
        ]
    runtime.store.publish(GENERATION, context.job_id, record, files)
    work = runtime.work_of(sampler, round(time.perf_counter() - started, 4))
    result = {"generation": context.job_id, "seed": wanted.seed, "n": wanted.n, **work}
    return Outcome(status=Status.SUCCEEDED, result=result)


def _watched_by(context: JobContext, total: int) -> OnStep:
    """Tells the job's followers now and then how many frames are done, of `total`; most pieces are done before."""
    told = time.monotonic()

    def on_step(step: int) -> bool:
        nonlocal told
        if time.monotonic() - told >= PROGRESS_SECONDS:
            context.report(step, total, {})
            told = time.monotonic()
        return context.stop_requested() is not None

    return on_step


def _pieces(runtime: Runtime, sampler: Sampler, wanted: GenerateJob, on_step: OnStep) -> Frames:
    """The pieces (n, length, n_visible), which may have been sampled along with another job's."""
    context = current_context()
    if (rolls := runtime.together.ready(context.job_id)) is not None:
        return rolls
    if held := context.held():
        return runtime.together.sample(sampler, context.job_id, held, wanted, on_step)
    return _sample(sampler, wanted, on_step)


def _sample(sampler: Sampler, wanted: GenerateJob, on_step: OnStep) -> Frames:
    """The pieces (n, length, n_visible): sampled freely after a primer, if any, or around what is given."""
    clamp = clamp_of(wanted)
    options = DrawOptions(wanted.gibbs_steps, wanted.temperature, particles_of(wanted), on_step)
    if clamp is None:
        length = wanted.length - wanted.primer_length
        return sampler.generate(length, wanted.seeds, options, primer=primer_of(wanted))
    return sampler.infill(*clamp, wanted.seeds, options)


def _artefact(
    key: str, wanted: GenerateJob, config: ModelConfig, rolls: Frames
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Record and files of what was sampled; a single piece has its MIDI file, those of several are made on demand."""
    notes = count_notes(rolls).tolist()
    record = {
        "id": key,
        **wanted.model_dump(exclude={"given"}),
        "primer_length": wanted.primer_length,
        "dt": config.dt,
        "steps_per_beat": config.steps_per_beat,
        "pitch_range": wanted.pitch_range or wanted.keys,
        "notes": notes if wanted.n > 1 else notes[0],
        "created_at": now(),
    }
    files = {"piece.roll": np.packbits(rolls.reshape(wanted.n, -1), axis=1).tobytes()}
    if wanted.n == 1:
        files["piece.mid"] = write_midi(
            rolls[0],
            step_seconds=wanted.step_seconds,
            pitch_range=wanted.keys,
            tempo=wanted.tempo,
            program=wanted.program,
        )
    return record, files
