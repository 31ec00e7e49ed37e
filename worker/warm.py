"""An RQ worker that stays warm: it performs jobs in its own process, so that modules and models stay loaded.

RQ's SimpleWorker does that too, but neither beats while it works nor can be stopped. This one
- beats from a thread, so that a job whose worker died is noticed within seconds;
- on SIGTERM or SIGINT leaves at once when idle; a running job is told and may save itself before it goes back to the
  queue. After `GRACE_SECONDS`, or at a second signal, the process ends regardless;
- tells the job's followers what becomes of it.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any
from uuid import uuid4

from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.queue import Queue
from rq.utils import now
from rq.worker import SimpleWorker, WorkerStatus

from model.device import Device
from worker.broker import HEARTBEAT_TTL, SERIALIZER, Broker, JobQueue
from worker.context import DeviceLost, Interrupted, JobContext, Stop, performing
from worker.errors import BrokerError
from worker.events import append, append_end
from worker.held import Alike, HeldJobs
from worker.protocol import QUEUES, JobView, Kind, Outcome, Problem, Progress, Status, WorkerView
from worker.views import DEADLINE_PASSED, internal_error, view_of

BEAT_SECONDS = 2.0
GRACE_SECONDS = 10.0
IDLE_GRACE_SECONDS = 3.0  # without a job only a Redis that is gone can keep a worker so long
ASK_SECONDS = 0.2
POP_SECONDS = 1  # how long one blocking pop lasts, and so how late an idle worker may see a signal
WITHOUT_LIMIT = 1_000_000_000
MOST_LOSSES = 3
"""Devices that may be lost in the course of one job."""

logger = logging.getLogger(__name__)


def _overdue(job: Job) -> bool:
    deadline: float = job.meta.get("deadline", math.inf)
    return time.time() >= deadline


class WarmJob(Job):
    """A job whose function returns an `Outcome`, whatever happens in it: RQ's Retry is for dead workers only."""

    end: JobView | None = None
    """The job as it ended, once that is about to be stored."""
    loss: DeviceLost | None = None
    """Why its worker cannot go on."""

    def prepare_for_execution(self, worker_name: str, pipeline: Pipeline) -> None:
        """Mark the job as running, and tell so, once for one that is held before its turn."""
        told = self.get_status(refresh=False) is JobStatus.STARTED
        super().prepare_for_execution(worker_name, pipeline)
        if not told:
            append(pipeline, self.id, "started", {"status": Status.RUNNING})

    def add_end(self, pipeline: Pipeline) -> None:
        """Tell of the job's end in the transaction that stores its outcome: who hears of it can read it."""
        self.end = view_of(self, self._result)
        append_end(pipeline, self.end)

    def perform(self) -> Any:
        """Call the function; an error nobody expected goes to the log, and the user learns that there was one.

        A job whose deadline has passed is not started, unless an earlier run may have left something worth keeping.
        """
        if _overdue(self) and "progress" not in self.meta:
            return Outcome(status=Status.CANCELLED, problem=DEADLINE_PASSED).model_dump(mode="json")
        try:
            outcome = Outcome.model_validate(super().perform())
            if outcome.status is Status.CANCELLED and _overdue(self):
                outcome.problem = DEADLINE_PASSED
            return outcome.model_dump(mode="json")
        except Interrupted:
            # RQ counts these retries apart from those of dead workers.
            return Retry(max=WITHOUT_LIMIT, enqueue_at_front=True)
        except DeviceLost as loss:
            self.loss = loss
            return self._after_loss(loss)
        except Exception:
            logger.exception("job %s failed", self.id)
            return Outcome(status=Status.FAILED, problem=internal_error(self.id)).model_dump(mode="json")

    def _after_loss(self, loss: DeviceLost) -> Any:
        """Go on elsewhere; but a job may be what its devices are lost by."""
        losses = [*self.meta.get("losses", []), str(loss)]
        self.meta["losses"] = losses
        self.save_meta()  # type: ignore[no-untyped-call]  # RQ leaves it without types
        if len(losses) < MOST_LOSSES:
            return Retry(max=WITHOUT_LIMIT, enqueue_at_front=True)
        problem = Problem(type="DeviceLost", detail="; ".join(dict.fromkeys(losses)))
        return Outcome(status=Status.FAILED, problem=problem).model_dump(mode="json")


class RunningContext(JobContext):
    """The context of a job that a worker performs."""

    def __init__(self, job: Job, broker: Broker, stopping: threading.Event, held: HeldJobs | None) -> None:
        super().__init__(job.id)
        self._held = held
        self._job = job
        self._broker = broker
        self._stopping = stopping
        self._cancelled = False
        self._asked = time.monotonic()  # most jobs end before the first question

    def report(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Store the progress; a job does not fail because nobody can hear it."""
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        try:
            self._broker.report(self._job, Progress(step=step, total=total, metrics=finite))
        except BrokerError as error:
            logger.warning("job %s cannot report its progress: %s", self.job_id, error)

    def stop_requested(self) -> Stop | None:
        """Look at the clock, and ask Redis now and then whether the user cancelled the job."""
        self._cancelled = self._cancelled or _overdue(self._job)
        if not self._cancelled and time.monotonic() - self._asked >= ASK_SECONDS:
            try:
                self._cancelled = self._broker.cancel_requested(self.job_id)
            except BrokerError as error:
                logger.warning("job %s cannot ask whether it is cancelled: %s", self.job_id, error)
            self._asked = time.monotonic()
        if self._cancelled:
            return "cancel"
        return "shutdown" if self._stopping.is_set() else None

    def held(self) -> dict[str, dict[str, Any]]:
        """What the worker holds."""
        return self._held.params() if self._held else {}


class WarmWorker(SimpleWorker):
    """Performs the jobs of one kind until it gets a signal, or loses its device; `work()` starts it.

    With `alike` it takes up to `most_held` waiting jobs along whose work can be done together with that of the first.
    """

    max_connection_wait_time = 5.0

    def __init__(
        self,
        broker: Broker,
        kind: Kind,
        *,
        place: Device,
        kernel: str,
        alike: Alike | None = None,
        most_held: int = 0,
    ) -> None:
        super().__init__(
            [QUEUES[kind]],
            name=f"{kind}-{uuid4().hex}",  # never used twice: a name stays taken for minutes after a SIGKILL
            connection=broker.connect(),
            job_class=WarmJob,
            queue_class=JobQueue,
            serializer=SERIALIZER,
            worker_ttl=20,
            maintenance_interval=3,
        )
        self._broker = broker
        self._place = place
        self._held = HeldJobs(self, alike, most_held) if alike else None
        self.device_lost = False
        self._stopping = threading.Event()
        self._left = threading.Event()
        self._beats = threading.Thread(target=self._beat_until_left, name="heartbeat", daemon=True)
        self._view = WorkerView(
            name=self.name,
            queue=QUEUES[kind],
            pid=os.getpid(),
            device=place.label,
            device_name=place.name,
            kernel=kernel,
        )

    # --- life -----------------------------------------------------------------------------------------------------

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Register, and let the heart beat; who sees it may send a signal."""
        self._install_signal_handlers()  # type: ignore[no-untyped-call]  # RQ leaves it without types
        super().bootstrap(*args, **kwargs)
        self._broker.beat(self._view)
        self._beats.start()
        threading.Thread(target=self._exit_when_late, name="grace", daemon=True).start()
        logger.info("worker %s is ready on %s (%s)", self.name, self._place, self._view.kernel)

    def teardown(self) -> None:
        """Leave, so that nobody waits for the heart to stop."""
        if self._held:
            for job_id in self._held.give_back():
                self._broker.announce(job_id)
        self._left.set()
        self._beats.join(BEAT_SECONDS)
        super().teardown()  # type: ignore[no-untyped-call]  # RQ leaves it without types
        self._broker.leave(self.name)
        self.connection.close()

    def subscribe(self) -> None:
        """Listen to no commands of RQ: jobs are cancelled through the broker."""

    def unsubscribe(self) -> None:
        """Nothing to undo."""

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 (a signal handler's arguments)
        """Stop after the job in hand; at the second signal, now."""
        if self._stopping.is_set():
            os._exit(1)
        self._stop_requested = True
        self._stopping.set()

    def _exit_when_late(self) -> None:
        self._stopping.wait()
        time.sleep(IDLE_GRACE_SECONDS)
        if self.get_state() == WorkerStatus.BUSY:
            time.sleep(GRACE_SECONDS - IDLE_GRACE_SECONDS)
        logger.error("worker %s did not stop in time; a job that it has will run again elsewhere", self.name)
        os._exit(1)

    def set_state(self, state: str, pipeline: Pipeline | None = None) -> None:
        """Change the state; only RQ's own tools read it in Redis, so there it may come with the next heartbeat."""
        self._state = state
        if pipeline is not None:
            super().set_state(state, pipeline)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Beat along with other commands; RQ would also do so by itself, three commands at each step of its loop."""
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        """Nobody suspends these workers."""

    def _beat_until_left(self) -> None:
        while not self._left.wait(BEAT_SECONDS):
            try:
                self._broker.beat(self._view)
                with self.connection.pipeline() as pipeline:
                    self.heartbeat(pipeline=pipeline)
                    self.set_state(self._state, pipeline)
                    pipeline.execute()
                for execution in list(self.executions.values()):
                    self.maintain_heartbeats(execution.job, execution)
            except (BrokerError, RedisError) as error:
                logger.warning("worker %s cannot send its heartbeat: %s", self.name, error)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002 (RQ's signature)
        """Seconds after which a job without a heartbeat is taken from its worker."""
        return HEARTBEAT_TTL

    # --- jobs -----------------------------------------------------------------------------------------------------

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """The next job, or None once the worker is to stop.

        RQ would raise out of a pop that a signal interrupts, and lose the job that it might just have popped.
        """
        found = self._held.turn() if self._held and not self._stopping.is_set() else None
        while found is None and not self._stopping.is_set():
            found = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time or POP_SECONDS)
        return found

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:  # noqa: ARG002 (RQ's)
        """Note the time; it is stored with the outcome, just after."""
        job.ended_at = job.last_heartbeat = now()

    def cleanup_execution(self, job: Job, pipeline: Pipeline, execution: Execution | None = None) -> None:
        """The last that RQ adds to the transaction that stores an outcome."""
        super().cleanup_execution(job, pipeline, execution)
        if isinstance(job, WarmJob) and job.get_status(refresh=False) is JobStatus.FINISHED:
            job.add_end(pipeline)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Perform the job, store its outcome, and tell of it."""
        started = time.monotonic()
        execution = (self._held.taken(job) if self._held else None) or self.prepare_execution(job)
        if self._held:
            self._held.gather(job, queue)
        with performing(RunningContext(job, self._broker, self._stopping, self._held)):
            self.perform_job(job, queue, execution)
        self.set_state(WorkerStatus.IDLE)
        end = job.end if isinstance(job, WarmJob) else None
        view = end or self._broker.announce(job.id)  # it has not ended but is to run again
        logger.info("job %s (%s): %s after %.2f s", job.id, view.kind, view.status, time.monotonic() - started)
        if isinstance(job, WarmJob) and job.loss is not None:
            logger.error("worker %s ends: %s", self.name, job.loss)
            self.device_lost = self._stop_requested = True
            self._stopping.set()

    def clean_registries(self) -> None:
        """Requeue or fail the jobs of dead workers, and tell so."""
        abandoned = [job_id for queue in self.queues for job_id in queue.started_job_registry.get_expired_job_ids()]
        super().clean_registries()  # type: ignore[no-untyped-call]  # RQ leaves it without types
        for job_id in abandoned:
            self._broker.announce(job_id)
