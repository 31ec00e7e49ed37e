"""Pieces of several jobs in one call of the sampler: on a GPU a thousand take hardly longer than one. Free of torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.cores import OnStep
from model.draw_options import DrawOptions
from model.kernel import Frames
from model.sampler import Sampler
from worker.protocol import GenerateJob

MOST_JOBS = 256
MOST_PIECES = 8192
SHARED = {"model", "length", "gibbs_steps", "temperature", "sampler"}
"""What has to be the same."""


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether the pieces of two generate jobs, by their parameters, can be sampled together."""
    return _is_free(one) and _is_free(other) and all(one.get(name) == other.get(name) for name in SHARED)


def _is_free(params: dict[str, Any]) -> bool:
    """Nothing is given, and no key is ruled out."""
    return not any(params.get(name) for name in ("given", "keep", "pitch_range"))


class Together:
    """Samples for a job and for those that a worker holds beside it, whose pieces it keeps until they are asked for."""

    def __init__(self) -> None:
        self._ready: dict[str, Frames] = {}

    def ready(self, job_id: str) -> Frames | None:
        """The pieces that were sampled for a job beside another's."""
        return self._ready.pop(job_id, None)

    def sample(
        self, sampler: Sampler, job_id: str, held: Mapping[str, dict[str, Any]], wanted: GenerateJob, on_step: OnStep
    ) -> Frames:
        """The pieces of a job to which nothing is given; `held` are parameters of jobs like it.

        Raises:
            Stopped: `on_step` said so; those that are held are then as before.
        """
        jobs = {job_id: wanted}
        for other, params in held.items():
            more = GenerateJob.model_validate(params)
            if sum(job.n for job in jobs.values()) + more.n <= MOST_PIECES:
                jobs[other] = more
        seeds = [seed for job in jobs.values() for seed in job.seeds]
        options = DrawOptions(wanted.gibbs_steps, wanted.temperature, on_step=on_step)
        rolls = sampler.generate(wanted.length, seeds, options)
        ends = np.cumsum([job.n for job in jobs.values()])
        self._ready = dict(zip(jobs, np.split(rolls, ends[:-1]), strict=True))
        return self._ready.pop(job_id)
