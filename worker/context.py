"""What a running job gets to speak to its user: `current_context()` inside a job function."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

Stop = Literal["cancel", "shutdown"]


class Interrupted(Exception):  # noqa: N818 (not an error: the job stopped for a shutdown, its checkpoint is saved)
    """The job stopped because its worker shuts down; it goes back to the front of its queue and will run again."""


class DeviceLost(Exception):  # noqa: N818 (it is the worker's end, and no job's)
    """The device does not work any more, nor will this process; the job goes on in another from its checkpoint."""


class JobContext:
    """The context of a job called directly, outside of a worker: reports go nowhere and nothing stops it.

    A worker's context (worker.warm) has the same methods.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id

    def report(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Tell how far the job is: `step` of `total`, and its latest metrics. Those that aren't finite are left out."""

    def stop_requested(self) -> Stop | None:
        """Whether to stop now: the user cancelled the job, or the worker shuts down. Cheap enough for any loop."""
        return None

    def held(self) -> dict[str, dict[str, Any]]:
        """Parameters of jobs like this one that its worker holds, by job: their work may be done along with it."""
        return {}


_current: ContextVar[JobContext] = ContextVar("job_context")
_direct = JobContext("direct")


def current_context() -> JobContext:
    """The context of the job being performed."""
    return _current.get(_direct)


@contextmanager
def performing(context: JobContext) -> Iterator[JobContext]:
    """Make `context` the current one for a while."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
