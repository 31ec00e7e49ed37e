"""The broker against a real server; what needs no worker process."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from tests.worker.conftest import run_async
from worker.broker import Broker
from worker.errors import BrokerError, NotFoundError, QueueFullError
from worker.protocol import Event, JobView, Kind, Status, WorkerView


async def collect(broker: Broker, job_id: str, after: str | None = None) -> list[Event]:
    return [event async for event in broker.events(job_id, after)]


def test_submitted_job_waits_in_its_queue(broker: Broker) -> None:
    job = broker.submit(Kind.TRAIN, {"a": 1}, max_queued=10)
    assert (job.kind, job.status, job.started_at, job.result) == (Kind.TRAIN, Status.QUEUED, None, None)
    assert broker.view(job.id) == job


def test_full_queue_refuses_and_leaves_no_trace(broker: Broker) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=1)
    with pytest.raises(QueueFullError, match="1 generate jobs"):
        broker.submit(Kind.GENERATE, {}, max_queued=1)
    broker.submit(Kind.TRAIN, {}, max_queued=1)  # each kind has its own queue
    assert [view.id for view in broker.jobs(None, 10, kind=Kind.GENERATE)[0]] == [job.id]


@pytest.mark.parametrize("job_id", ["none", "", "a:b", "a b", "x" * 300])
def test_unknown_job_is_not_found(broker: Broker, job_id: str) -> None:
    with pytest.raises(NotFoundError):
        broker.view(job_id)
    with pytest.raises(NotFoundError):
        broker.cancel(job_id)


def test_pages_go_from_new_to_old(broker: Broker) -> None:
    ids = sorted((broker.submit(Kind.GENERATE, {}, max_queued=100).id for _ in range(5)), reverse=True)
    pages, cursor = [], None
    while True:
        page, cursor = broker.jobs(cursor, 2)
        pages.append([job.id for job in page])
        if cursor is None:
            break
    assert pages == [ids[:2], ids[2:4], ids[4:]]


def test_filters_apply_before_the_page_is_cut(broker: Broker) -> None:
    trains = [broker.submit(kind, {}, max_queued=100).id for kind in (Kind.TRAIN, Kind.GENERATE) * 3][::2]
    broker.cancel(trains[0])
    page, cursor = broker.jobs(None, 2, kind=Kind.TRAIN, status=Status.QUEUED)
    assert {job.id for job in page} == set(trains[1:])
    assert cursor is None


def test_expired_jobs_leave_the_list(broker: Broker, server_redis: Redis) -> None:
    kept, expired = (broker.submit(Kind.GENERATE, {}, max_queued=10).id for _ in range(2))
    server_redis.delete(f"rq:job:{expired}")
    assert [job.id for job in broker.jobs(None, 10)[0]] == [kept]
    assert server_redis.zrange("rnnrbm:jobs", 0, -1) == [kept.encode()]


def test_cancelled_queued_job_ends_at_once(broker: Broker, server_redis: Redis) -> None:
    job = broker.submit(Kind.TRAIN, {}, max_queued=10)
    view = broker.cancel(job.id)
    assert view.status is Status.CANCELLED
    assert view.ended_at is not None
    assert server_redis.llen("rq:queue:train") == 0
    assert broker.cancel(job.id) == view
    events = run_async(broker, collect(broker, job.id))
    assert [event.event for event in events] == ["queued", "end"]
    assert events[-1].data["status"] == "cancelled"


def test_wait_gives_up_in_time(broker: Broker) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)
    assert run_async(broker, broker.wait(job, 0.2)).status is Status.QUEUED
    assert run_async(broker, broker.wait(job, 0.0)).status is Status.QUEUED


def test_waiting_for_a_job_that_expires_is_not_found(broker: Broker, server_redis: Redis) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)
    server_redis.delete(f"rq:job:{job.id}")
    with pytest.raises(NotFoundError):
        run_async(broker, broker.wait(job, 0.1))


def test_a_waiter_sees_the_end_that_nobody_told(broker: Broker, server_redis: Redis) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)
    broker.cancel(job.id)
    server_redis.delete(f"rnnrbm:events:{job.id}")
    assert run_async(broker, broker.wait(job, 30.0)).status is Status.CANCELLED


def test_a_stream_has_one_end(broker: Broker) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)
    ended = broker.cancel(job.id)
    assert broker.announce(job.id) == broker.announce(job.id) == ended
    queued, end = run_async(broker, collect(broker, job.id))
    assert (queued.event, end.event) == ("queued", "end")
    assert JobView.model_validate(end.data) == ended


def test_many_wait_at_once(broker: Broker) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)

    async def wait_together() -> list[Status]:
        waiters = [asyncio.create_task(broker.wait(job, 30.0)) for _ in range(150)]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(broker.cancel, job.id)
        return [view.status for view in await asyncio.gather(*waiters)]

    assert run_async(broker, wait_together()) == [Status.CANCELLED] * 150


def test_events_go_on_after_the_one_seen_last(broker: Broker) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)
    broker.cancel(job.id)
    first, last = run_async(broker, collect(broker, job.id))
    assert run_async(broker, collect(broker, job.id, first.id)) == [last]
    assert run_async(broker, collect(broker, job.id, last.id)) == []
    assert run_async(broker, collect(broker, job.id, "no id at all")) == [first, last]


def test_stream_of_an_ended_job_ends_even_if_nobody_wrote_it(broker: Broker, server_redis: Redis) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)
    broker.cancel(job.id)
    server_redis.delete(f"rnnrbm:events:{job.id}")
    assert [event.event for event in run_async(broker, collect(broker, job.id))] == ["end"]


def test_everything_about_a_job_expires(broker: Broker, server_redis: Redis) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)
    broker.cancel(job.id)
    assert all(server_redis.ttl(key) > 0 for key in server_redis.keys(f"*{job.id}*"))


def test_workers_are_those_that_beat(broker: Broker, server_redis: Redis) -> None:
    worker = WorkerView(name="w", queue="train", pid=1, device="cpu", kernel="torch")
    broker.beat(worker)
    assert broker.workers() == [worker]
    server_redis.delete("rnnrbm:worker:w")
    assert broker.workers() == []
    assert not server_redis.exists("rnnrbm:workers")


def test_errors_of_redis_are_broker_errors(tmp_path: Path) -> None:
    broker = Broker(f"unix://{tmp_path}/nobody.sock", retries=0)
    with pytest.raises(BrokerError):
        broker.ping()
    with pytest.raises(BrokerError):
        broker.submit(Kind.TRAIN, {}, max_queued=1)
    job = JobView(id="job", kind=Kind.TRAIN, status=Status.QUEUED, created_at=datetime.now(UTC))
    with pytest.raises(BrokerError):
        run_async(broker, broker.wait(job, 1.0))
    with pytest.raises(BrokerError, match="redis://"):
        Broker("http://:secret@host")


def test_out_of_memory_is_a_broker_error_and_half_a_job_is_none(broker: Broker, server_redis: Redis) -> None:
    server_redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerError):
            broker.submit(Kind.TRAIN, {}, max_queued=10)
    finally:
        server_redis.config_set("maxmemory", 0)
    assert broker.jobs(None, 10) == ([], None)
    assert server_redis.llen("rq:queue:train") == 0
