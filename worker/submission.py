"""What is written when a job is submitted, in one transaction: the job, its place in the queue, its terms."""

import time
from dataclasses import dataclass
from typing import Any

from redis.client import Pipeline
from rq.job import Job
from rq.job import Retry as JobRetry
from rq.queue import Queue
from ulid import ULID

from worker.events import KEPT_SECONDS, append
from worker.idempotency import Claim
from worker.protocol import Kind, Status, new_id
from worker.webhooks import remember

JOBS = "rnnrbm:jobs"
DEADLINES = "rnnrbm:deadlines"
RUNS_AFTER_A_DEATH = 2


@dataclass(frozen=True)
class Terms:
    """What a request says of its job beside what is to be done.

    Args:
        deadline: seconds after which the job is of no use.
        webhook: URL to tell of the job's end.
        metadata: the user's own notes.
        claim: the request's idempotency key.
    """

    deadline: float | None = None
    webhook: str | None = None
    metadata: dict[str, str] | None = None
    claim: Claim | None = None


def enqueue(pipe: Pipeline, queue: Queue, function: str, kind: Kind, params: dict[str, Any], terms: Terms) -> Job:
    """Put a new job at the end of its queue. Raises redis.WatchError where the claim was staked meanwhile."""
    job_id = new_id()
    job = queue.enqueue_call(
        function,
        kwargs={"params": params},
        timeout=-1,  # a training takes what it takes; a user who has enough of it cancels
        ttl=KEPT_SECONDS,
        result_ttl=KEPT_SECONDS,
        failure_ttl=KEPT_SECONDS,
        description=str(kind),
        job_id=job_id,
        meta=_meta(kind, params, terms),
        retry=JobRetry(max=RUNS_AFTER_A_DEATH, enqueue_at_front=True),
        pipeline=pipe,
    )
    pipe.zadd(JOBS, {job_id: 0})
    pipe.zremrangebylex(JOBS, "-", f"({ULID.from_timestamp(time.time() - 2 * KEPT_SECONDS)}")
    append(pipe, job_id, "queued", {"status": Status.QUEUED})
    if "deadline" in job.meta:
        pipe.zadd(DEADLINES, {job_id: job.meta["deadline"]})
    if terms.webhook:
        remember(pipe, job_id, terms.webhook)
    if terms.claim:
        terms.claim.stake(pipe, job_id)
    pipe.execute()
    return job


def _meta(kind: Kind, params: dict[str, Any], terms: Terms) -> dict[str, Any]:
    meta: dict[str, Any] = {"kind": kind}
    if "seed" in params:
        meta["seed"] = params["seed"]
    if terms.deadline is not None:
        meta["deadline"] = time.time() + terms.deadline
    if terms.metadata:
        meta["metadata"] = terms.metadata
    return meta
