"""Jobs that a worker takes off its queue ahead of their turn, to do their work together with that of the job in hand.

They are this worker's from then on, and running to everybody else: who finds the worker dead gives them back.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.utils import as_text
from rq.worker import SimpleWorker

from worker.broker import SERIALIZER

Alike = Callable[[dict[str, Any], dict[str, Any]], bool]
"""Whether the work that two jobs' parameters ask for can be done together."""


class HeldJobs:
    """The jobs that a worker holds, in the order of their queue."""

    def __init__(self, worker: SimpleWorker, alike: Alike, most: int) -> None:
        self._worker = worker
        self._alike = alike
        self._most = most
        self._held: deque[tuple[Job, Queue, Execution]] = deque()

    def params(self) -> dict[str, dict[str, Any]]:
        """The parameters of those that are held, by job."""
        return {job.id: _params(job) for job, _, _ in self._held}

    def gather(self, job: Job, queue: Queue) -> None:
        """Hold the jobs at the head of the queue that are like the one in hand; never past one that is not."""
        while len(self._held) < self._most and self._next_is_like(job, queue):
            found = self._worker.queue_class.dequeue_any(
                [queue],
                None,
                connection=self._worker.connection,
                job_class=self._worker.job_class,
                serializer=self._worker.serializer,
            )
            if found is None:  # others were faster
                return
            other, where = found
            version = self._worker.get_redis_server_version()  # type: ignore[no-untyped-call]  # RQ leaves it so
            other.redis_server_version = version
            execution = self._worker.prepare_execution(other)
            self._worker.prepare_job_execution(other, remove_from_intermediate_queue=True)
            self._held.append((other, where, execution))

    def _next_is_like(self, job: Job, queue: Queue) -> bool:
        with suppress(NoSuchJobError):
            if head := self._worker.connection.lindex(queue.key, 0):
                other = Job.fetch(as_text(head), connection=self._worker.connection, serializer=SERIALIZER)
                return self._alike(_params(job), _params(other))
        return False

    def turn(self) -> tuple[Job, Queue] | None:
        """The job whose turn it is, if one is held; it stays until it is `taken`."""
        return self._held[0][:2] if self._held else None

    def taken(self, job: Job) -> Execution | None:
        """The execution of a job that was held; its work begins."""
        if self._held and self._held[0][0] is job:
            return self._held.popleft()[2]
        return None

    def give_back(self) -> list[str]:
        """Put what is held back to the front of its queue, in order; the ids of the jobs."""
        ids = [job.id for job, _, _ in self._held]
        while self._held:
            job, queue, execution = self._held.pop()
            with self._worker.connection.pipeline() as pipeline:
                self._worker.cleanup_execution(job, pipeline=pipeline, execution=execution)
                job.set_status(JobStatus.QUEUED, pipeline=pipeline)
                queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
                pipeline.execute()
        return ids


def _params(job: Job) -> dict[str, Any]:
    params: dict[str, Any] = job.kwargs["params"]
    return params
