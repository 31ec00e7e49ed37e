"""Jobs in Redis: submitting, looking at, following and cancelling them.

This and the modules that it imports from here (submission, idempotency, webhooks, events, views), and worker.warm, are
the only ones that know Redis and RQ.

RQ keeps the queues and the jobs. Beside them this module keeps

    rnnrbm:jobs            sorted set of job ids; with all scores 0 it is in the order of the ids, which is that of time
    rnnrbm:events:JOB      stream of what happened to the job (worker.events)
    rnnrbm:cancel:JOB      there while a running job is asked to stop
    rnnrbm:deadlines       sorted set of job ids by their deadline
    rnnrbm:workers         set of worker names; those alive have
    rnnrbm:worker:NAME     a `WorkerView`, renewed with each heartbeat
"""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import WatchError
from redis.retry import Retry
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.results import Result
from rq.utils import as_text, now
from rq.worker_registration import get_keys as worker_keys

from worker.errors import BrokerError, NotFoundError, QueueFullError
from worker.events import BEGINNING, KEPT_SECONDS, OUTCOMES, WAIT_SLICE, EventReader, append, append_end, redis_errors
from worker.protocol import (
    FUNCTIONS,
    QUEUES,
    Event,
    JobView,
    Kind,
    Problem,
    Progress,
    Status,
    WorkerView,
)
from worker.submission import DEADLINES, JOBS, Terms, enqueue
from worker.views import DEADLINE_PASSED, view_of
from worker.webhooks import Mailbox

SERIALIZER = "json"  # RQ's default is pickle, which lets code ride in on a job
HEARTBEAT_TTL = 8
SCAN = 100
SCANS_A_PAGE = 50  # a filter that hardly anything passes must not read the whole history in one request

NO_TERMS = Terms()
NO_METADATA: Mapping[str, str] = {}
WORKERS = "rnnrbm:workers"
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
EVENT_ID = re.compile(r"\d{1,18}-\d{1,18}")


class JobQueue(Queue):
    """A queue whose maintenance goes on soon after a worker died in the middle of it."""

    def acquire_maintenance_lock(self) -> bool:
        """As RQ's, which expires only after 15 minutes."""
        return bool(self.connection.set(self.registry_cleaning_key, 1, nx=True, ex=10))

    def move_dependents_to_ready(self, *args: Any, **kwargs: Any) -> dict[str, list[str]]:  # noqa: ARG002 (RQ's)
        """Nothing: no job here depends on another, and RQ would ask Redis after each."""
        return {}


class Broker:
    """Jobs by id. Every method raises `BrokerError` when Redis cannot be reached or refuses a command.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        functions: the names of the functions that perform each kind of job.
        retries: how often a command is tried again; the waits between double from 0.1 s up to 1 s.
    """

    def __init__(self, url: str, *, functions: Mapping[Kind, str] = FUNCTIONS, retries: int = 5) -> None:
        self._url = url
        self._functions = functions
        self._backoff = ExponentialBackoff(cap=1.0, base=0.05)
        self._retries = retries
        try:
            self._redis = self.connect()
        except ValueError as error:  # the text of it may hold a password
            raise BrokerError("the Redis URL must start with redis://, rediss:// or unix://") from error
        self._events = EventReader(url, self._backoff, retries)
        self._queues = {
            kind: JobQueue(name, connection=self._redis, serializer=SERIALIZER) for kind, name in QUEUES.items()
        }

    def connect(self) -> Redis:
        """A client of its own, for whoever wants other timeouts than this one."""
        retry = Retry(self._backoff, self._retries)
        return Redis.from_url(self._url, retry=retry, socket_timeout=10, socket_connect_timeout=5, protocol=2)

    @redis_errors()
    def ping(self) -> None:
        """Return if Redis answers."""
        self._redis.ping()

    @property
    def mailbox(self) -> Mailbox:
        """The ends of jobs that webhooks have yet to tell."""
        return Mailbox(self._redis)

    async def close(self) -> None:
        """Close every connection; the next call opens new ones."""
        self._redis.close()
        await self._events.close()

    # --- jobs ---------------------------------------------------------------------------------------------------

    @redis_errors()
    def submit(self, kind: Kind, params: dict[str, Any], *, max_queued: int, terms: Terms = NO_TERMS) -> JobView:
        """Put a job into its queue, or find the one that the same request has made before.

        Raises:
            QueueFullError: `max_queued` jobs are waiting there already.
            ParameterError: the idempotency key belongs to another request.
        """
        queue = self._queues[kind]
        with self._redis.pipeline() as pipe:
            while True:
                if terms.claim and (job_id := terms.claim.holder(pipe)):
                    return self.view(job_id)
                if queue.count >= max_queued:
                    raise QueueFullError(f"{max_queued} {kind} jobs are waiting already; try again later")
                try:
                    return view_of(enqueue(pipe, queue, self._functions[kind], kind, params, terms))
                except WatchError:  # the same request, sent at the same time, was faster
                    continue

    @redis_errors()
    def view(self, job_id: str) -> JobView:
        """The job as its user sees it.

        Raises:
            NotFoundError: there is no such job, or no more.
        """
        view = self._views([job_id])[0] if JOB_ID.fullmatch(job_id) else None
        if view is None:
            raise NotFoundError("job", job_id)
        return view

    @redis_errors()
    def jobs(
        self,
        after: str | None,
        limit: int,
        kind: Kind | None = None,
        status: Status | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> tuple[list[JobView], str | None]:
        """Jobs newest first, at most `limit` after the id `after`, and the cursor of what follows.

        A page may be short, with a cursor, where few jobs pass the filter.
        """
        page: list[JobView] = []
        for _ in range(SCANS_A_PAGE):
            ids = self._ids(after)
            for view in self._present(ids):
                if kind not in (None, view.kind) or status not in (None, view.status):
                    continue
                if not metadata.items() <= view.metadata.items():
                    continue
                if len(page) == limit:
                    return page, page[-1].id
                page.append(view)
            if len(ids) < SCAN:
                return page, None
            after = ids[-1]
        return page, after

    def _ids(self, after: str | None) -> list[str]:
        start = "+" if after is None else f"({after}"
        return [as_text(key) for key in self._redis.zrevrangebylex(JOBS, start, "-", start=0, num=SCAN)]

    def _present(self, ids: list[str]) -> list[JobView]:
        """The views of those that have not expired; the others are forgotten."""
        views = self._views(ids)
        if gone := [job_id for job_id, view in zip(ids, views, strict=True) if view is None]:
            self._redis.zrem(JOBS, *gone)
        return [view for view in views if view is not None]

    def _views(self, ids: Sequence[str]) -> list[JobView | None]:
        with self._redis.pipeline() as pipe:  # one transaction: a job and its result belong together
            for job_id in ids:
                pipe.hgetall(Job.key_for(job_id))
                pipe.xrevrange(_results(job_id), count=1)
            replies = pipe.execute()
        return [self._restore(*parts) for parts in zip(ids, replies[::2], replies[1::2], strict=True)]

    def _restore(self, job_id: str, raw: dict[bytes, bytes], results: list[tuple[bytes, Any]]) -> JobView | None:
        if b"data" not in raw:  # expired; a late heartbeat can leave a stub of a job behind
            return None
        job = Job(job_id, connection=self._redis, serializer=SERIALIZER)
        job.restore(raw)
        if not results:
            return view_of(job)
        entry, payload = results[0]
        result = Result.restore(job_id, entry.decode(), payload, self._redis, SERIALIZER)
        return view_of(job, result.return_value, result.exc_string)

    @redis_errors()
    def cancel(self, job_id: str) -> JobView:
        """Take the job out of its queue, or ask it to stop if it runs. A job that has ended stays as it is.

        A job that waits to go on after an interruption is asked too: it may have something worth keeping.

        Raises:
            NotFoundError: there is no such job.
        """
        view = self.view(job_id)
        if view.status.ended:
            return view
        if view.progress is None and self._queues[view.kind].remove(job_id):
            self._end_queued(job_id)
        else:
            self._redis.set(f"rnnrbm:cancel:{job_id}", 1, ex=KEPT_SECONDS)
        return self.view(job_id)

    def _end_queued(self, job_id: str, problem: Problem | None = None) -> None:
        job = Job.fetch(job_id, connection=self._redis, serializer=SERIALIZER)
        job.ended_at = now()
        if problem:
            job.meta["problem"] = problem.model_dump()
        with self._redis.pipeline() as pipe:  # not job.cancel(): its registry of cancelled jobs is never cleaned
            job.set_status(JobStatus.CANCELED, pipeline=pipe)
            job.save(pipeline=pipe)
            job.cleanup(KEPT_SECONDS, pipeline=pipe)
            pipe.execute()
        self.announce(job_id)

    @redis_errors()
    def cancel_requested(self, job_id: str) -> bool:
        """Whether the user wants the running job to stop."""
        return bool(self._redis.exists(f"rnnrbm:cancel:{job_id}"))

    @redis_errors()
    def cancel_overdue(self) -> None:
        """Cancel queued jobs whose deadline has passed; one that a worker has looks at the clock itself."""
        overdue = self._redis.zrangebyscore(DEADLINES, "-inf", time.time(), start=0, num=SCAN)
        for job_id in [as_text(key) for key in overdue if isinstance(key, bytes)]:
            with suppress(NotFoundError):
                view = self.view(job_id)
                waiting = view.status is Status.QUEUED and view.progress is None
                if waiting and self._queues[view.kind].remove(job_id):
                    self._end_queued(job_id, DEADLINE_PASSED)
            self._redis.zrem(DEADLINES, job_id)

    # --- events ---------------------------------------------------------------------------------------------------

    @redis_errors()
    def report(self, job: Job, progress: Progress) -> None:
        """Store how far a job is and tell those who follow it."""
        job.meta["progress"] = progress.model_dump()
        with self._redis.pipeline() as pipe:
            pipe.hset(job.key, "meta", json.dumps(job.meta))
            append(pipe, job.id, "progress", job.meta["progress"])
            pipe.execute()

    @redis_errors()
    def announce(self, job_id: str) -> JobView:
        """Tell a job's followers where it stands once a worker let go of it: at its end, or in the queue again."""
        view = self.view(job_id)
        with self._redis.pipeline() as pipe:
            if view.status is Status.QUEUED:
                append(pipe, job_id, "queued", {"status": view.status})
            elif view.status.ended:
                append_end(pipe, view)
            pipe.execute()
        return view

    async def wait(self, view: JobView, timeout: float) -> JobView:
        """The job once it has ended, or as it is after `timeout` seconds; `view` is how it was last seen.

        Raises:
            NotFoundError: there is no such job any more.
        """
        deadline = time.monotonic() + timeout
        while not view.status.ended and (left := deadline - time.monotonic()) > 0:
            if end := await self._events.end(view.id, min(left, WAIT_SLICE)):
                return end
            view = await asyncio.to_thread(self.view, view.id)  # its worker may have died without a word
        return view

    async def events(self, job_id: str, after: str | None = None) -> AsyncIterator[Event]:
        """The job's events as they come, up to its end; those after the event `after`, if that is an event's id.

        Raises:
            NotFoundError: there is no such job.
        """
        last = after if after and EVENT_ID.fullmatch(after) else BEGINNING
        view = await asyncio.to_thread(self.view, job_id)
        while True:
            ended = view.status.ended
            if ended:  # then its stream has an end too, even if no worker lived to write it
                await asyncio.to_thread(self.announce, job_id)
            events = await self._events.read(job_id, last, 0.0 if ended else WAIT_SLICE)
            for event in events:
                last = event.id
                yield event
                if event.event == "end":
                    return
            if ended and not events:
                return
            if not events:
                view = await asyncio.to_thread(self.view, job_id)

    # --- figures ------------------------------------------------------------------------------------------------

    @redis_errors()
    def waiting(self) -> dict[Kind, int]:
        """How many jobs of each kind wait for a worker."""
        return {kind: queue.count for kind, queue in self._queues.items()}

    @redis_errors()
    def outcomes(self) -> dict[tuple[str, str], int]:
        """How many jobs ended, by kind and status, for as long as Redis remembers."""
        counts = self._redis.hgetall(OUTCOMES).items()
        return {(kind, status): int(n) for key, n in counts for kind, status in [as_text(key).split(":")]}

    # --- workers --------------------------------------------------------------------------------------------------

    @redis_errors()
    def workers(self) -> list[WorkerView]:
        """The workers whose heart beats."""
        names = sorted(as_text(name) for name in self._redis.smembers(WORKERS))
        beats = self._redis.mget([f"rnnrbm:worker:{name}" for name in names]) if names else []
        if gone := [name for name, beat in zip(names, beats, strict=True) if beat is None]:
            self._redis.srem(WORKERS, *gone)
        return [WorkerView.model_validate_json(beat) for beat in beats if beat is not None]

    @redis_errors()
    def beat(self, worker: WorkerView) -> None:
        """A worker's heartbeat."""
        with self._redis.pipeline() as pipe:
            pipe.sadd(WORKERS, worker.name)
            pipe.set(f"rnnrbm:worker:{worker.name}", worker.model_dump_json(), ex=HEARTBEAT_TTL)
            pipe.execute()

    @redis_errors()
    def leave(self, name: str) -> None:
        """A worker's last word."""
        with self._redis.pipeline() as pipe:
            pipe.srem(WORKERS, name)
            pipe.delete(f"rnnrbm:worker:{name}")
            pipe.execute()

    @redis_errors()
    def abandon(self, pid: int) -> None:
        """Give back at once what a dead worker process of this host was running; its heartbeat has yet to expire."""
        here = [str(pid).encode(), socket.gethostname().encode()]
        for key in worker_keys(connection=self._redis):
            if self._redis.hmget(key, ["pid", "hostname"]) == here:
                name = key.rpartition(":")[2]
                self._expire_executions(name)
                self.leave(name)
                self._redis.delete(key)

    def _expire_executions(self, worker_name: str) -> None:
        executions = self._redis.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(worker_name))
        for queue in self._queues.values():
            registry = queue.started_job_registry
            if executions:
                self._redis.zadd(registry.key, {as_text(execution): 1 for execution in executions}, xx=True)
            # Without the lock another worker's maintenance could put the same job back too. It will see to this one.
            if queue.acquire_maintenance_lock():
                abandoned = registry.get_expired_job_ids()
                registry.cleanup()
                self._redis.delete(queue.registry_cleaning_key)
                for job_id in abandoned:
                    self.announce(job_id)


def _results(job_id: str) -> str:
    key: str = Result.get_key(job_id)  # type: ignore[no-untyped-call]  # RQ leaves it without types
    return key
