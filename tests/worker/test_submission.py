"""Idempotency keys and deadlines, with real workers."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen

import pytest
from redis import Redis

from tests.worker.conftest import eventually
from worker.broker import Broker
from worker.errors import ParameterError
from worker.idempotency import Claim
from worker.protocol import Kind, Status
from worker.submission import Terms

StartWorker = Callable[[Kind], "Popen[bytes]"]


def submit(broker: Broker, client: str, fingerprint: str) -> str:
    terms = Terms(claim=Claim(client, "key", fingerprint))
    return broker.submit(Kind.GENERATE, {}, max_queued=100, terms=terms).id


def test_one_claim_makes_one_job_however_many_want_it(broker: Broker, server_redis: Redis) -> None:
    with ThreadPoolExecutor(20) as threads:
        jobs = set(threads.map(lambda _: submit(broker, "a", "same"), range(20)))
    assert len(jobs) == 1
    assert server_redis.llen("rq:queue:generate") == 1
    with pytest.raises(ParameterError, match="Idempotency-Key"):
        submit(broker, "a", "other")
    assert submit(broker, "b", "other") not in jobs
    (key, _) = server_redis.keys("rnnrbm:idempotency:*")
    assert 0 < server_redis.ttl(key) <= 24 * 60 * 60


def test_a_claim_finds_its_job_in_a_full_queue(broker: Broker) -> None:
    job_id = submit(broker, "a", "same")
    terms = Terms(claim=Claim("a", "key", "same"))
    assert broker.submit(Kind.GENERATE, {}, max_queued=1, terms=terms).id == job_id


def test_an_overdue_job_is_not_started_even_if_nobody_has_cancelled_it(
    broker: Broker, start_worker: StartWorker
) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10, terms=Terms(deadline=0.01))
    time.sleep(0.05)
    start_worker(Kind.GENERATE)
    eventually(lambda: broker.view(job.id).status is Status.CANCELLED)
    problem = broker.view(job.id).problem
    assert problem is not None
    assert problem.type == "DeadlinePassed"
    assert broker.view(job.id).result is None


def test_a_running_job_stops_at_its_deadline(broker: Broker, start_worker: StartWorker, tmp_path: Path) -> None:
    start_worker(Kind.TRAIN)
    eventually(broker.workers)
    params = {"checkpoint": str(tmp_path / "checkpoint"), "steps": 100_000, "seconds": 0.02}
    job = broker.submit(Kind.TRAIN, params, max_queued=10, terms=Terms(deadline=2))
    broker.cancel_overdue()
    ended = eventually(lambda: view if (view := broker.view(job.id)).status.ended else None)
    assert ended.status is Status.CANCELLED
    assert ended.problem.type == "DeadlinePassed"
    assert ended.result["step"] >= 1


def test_jobs_are_counted_once_when_they_end(broker: Broker) -> None:
    job = broker.submit(Kind.TRAIN, {}, max_queued=10)
    assert broker.waiting()[Kind.TRAIN] == 1
    broker.cancel(job.id)
    broker.announce(job.id)
    assert broker.waiting()[Kind.TRAIN] == 0
    assert broker.outcomes() == {("train", "cancelled"): 1}
