"""Real worker processes performing real jobs."""

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.worker.conftest import eventually, run_async
from tests.worker.jobs_for_tests import train
from worker.broker import Broker
from worker.context import current_context
from worker.protocol import Event, JobView, Kind, Status

StartWorker = Callable[[Kind], "subprocess.Popen[bytes]"]


def wait(broker: Broker, job: JobView, seconds: float = 30.0) -> JobView:
    view: JobView = run_async(broker, broker.wait(job, seconds))
    return view


def submit_training(broker: Broker, tmp_path: Path, **params: Any) -> JobView:
    return broker.submit(Kind.TRAIN, {"checkpoint": str(tmp_path / "checkpoint"), **params}, max_queued=100)


def wait_for_step(broker: Broker, job: JobView, step: int) -> None:
    def reached() -> bool:
        progress = broker.view(job.id).progress
        return progress is not None and progress.step >= step

    eventually(reached)


def events(broker: Broker, job: JobView, after: str | None = None) -> list[Event]:
    async def collect() -> list[Event]:
        return [event async for event in broker.events(job.id, after)]

    found: list[Event] = run_async(broker, collect())
    return found


def test_job_comes_back_with_its_result(broker: Broker, start_worker: StartWorker) -> None:
    start_worker(Kind.GENERATE)
    job = wait(broker, broker.submit(Kind.GENERATE, {"length": 3}, max_queued=10))
    assert job.status is Status.SUCCEEDED
    assert job.result is not None
    assert job.result["params"] == {"length": 3}
    assert job.started_at is not None
    assert job.ended_at is not None
    assert job.created_at <= job.started_at <= job.ended_at
    assert broker.view(job.id) == job


def test_one_process_performs_job_after_job(broker: Broker, start_worker: StartWorker) -> None:
    worker = start_worker(Kind.GENERATE)

    async def one_by_one() -> list[JobView]:
        jobs = (broker.submit(Kind.GENERATE, {}, max_queued=10) for _ in range(20))
        return [await broker.wait(job, 30.0) for job in jobs]

    assert {(job.result or {}).get("pid") for job in run_async(broker, one_by_one())} == {worker.pid}


def test_two_workers_perform_two_jobs_at_once(broker: Broker, start_worker: StartWorker, tmp_path: Path) -> None:
    jobs = [broker.submit(Kind.GENERATE, {"meet": str(tmp_path), "guests": 2}, max_queued=10) for _ in range(2)]
    workers = [start_worker(Kind.GENERATE) for _ in range(2)]

    async def both() -> list[JobView]:
        return await asyncio.gather(*(broker.wait(job, 30.0) for job in jobs))

    pids = {(job.result or {}).get("pid") for job in run_async(broker, both())}
    assert pids == {worker.pid for worker in workers}


def test_progress_arrives_in_order_and_can_be_resumed(
    broker: Broker, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker(Kind.TRAIN)
    job = submit_training(broker, tmp_path, steps=5)
    seen = events(broker, job)
    assert [event.event for event in seen] == ["queued", "started", *["progress"] * 5, "end"]
    assert [event.data["step"] for event in seen[2:-1]] == [1, 2, 3, 4, 5]
    assert seen[-1].data == broker.view(job.id).model_dump(mode="json")
    assert events(broker, job, after=seen[3].id) == seen[4:]


def test_metrics_that_are_no_numbers_are_left_out(broker: Broker, start_worker: StartWorker, tmp_path: Path) -> None:
    start_worker(Kind.TRAIN)
    progress = wait(broker, submit_training(broker, tmp_path, steps=2)).progress
    assert progress is not None
    assert (progress.step, progress.total, progress.metrics) == (2, 2, {"cost": 0.5})


def test_unexpected_error_is_a_problem_without_traceback_and_not_retried(
    broker: Broker, start_worker: StartWorker
) -> None:
    start_worker(Kind.GENERATE)
    job = wait(broker, broker.submit(Kind.GENERATE, {"error": "secret path"}, max_queued=10))
    assert job.status is Status.FAILED
    assert job.problem is not None
    assert job.problem.type == "InternalError"
    assert job.id in job.problem.detail
    assert "secret" not in job.model_dump_json()
    assert "Traceback" not in job.model_dump_json()
    assert [event.event for event in events(broker, job)] == ["queued", "started", "end"]


def test_running_job_can_be_cancelled(broker: Broker, start_worker: StartWorker, tmp_path: Path) -> None:
    start_worker(Kind.TRAIN)
    job = submit_training(broker, tmp_path, steps=100_000, seconds=0.02)
    wait_for_step(broker, job, 1)
    broker.cancel(job.id)
    ended = wait(broker, job)
    assert ended.status is Status.CANCELLED
    assert ended.result is not None
    assert ended.result["step"] >= 1  # what it had when it stopped


def test_idle_worker_leaves_at_a_signal(broker: Broker, start_worker: StartWorker) -> None:
    worker = start_worker(Kind.TRAIN)
    (view,) = eventually(broker.workers)
    assert (view.pid, view.queue, view.kernel) == (worker.pid, "train", "test")
    assert (view.device, view.device_name) == ("cpu", "a test")
    worker.send_signal(signal.SIGINT)
    assert worker.wait(8) == 0
    assert broker.workers() == []


def test_job_interrupted_by_a_shutdown_goes_on_in_another_worker(
    broker: Broker, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(Kind.TRAIN)
    job = submit_training(broker, tmp_path, steps=60, seconds=0.02)
    wait_for_step(broker, job, 3)
    worker.terminate()
    assert worker.wait(10) == 0
    waiting = broker.view(job.id)
    assert waiting.status is Status.QUEUED
    assert (waiting.started_at, waiting.ended_at) == (None, None)
    other = start_worker(Kind.TRAIN)
    ended = wait(broker, job)
    assert ended.status is Status.SUCCEEDED
    assert ended.result is not None
    assert ended.result["first"] >= 3
    assert ended.result["pid"] == other.pid
    assert [event.event for event in events(broker, job) if event.event != "progress"] == [
        "queued", "started", "queued", "started", "end",
    ]  # fmt: skip


def test_cancelling_an_interrupted_job_lets_it_keep_what_it_has(
    broker: Broker, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(Kind.TRAIN)
    job = submit_training(broker, tmp_path, steps=100_000, seconds=0.02)
    wait_for_step(broker, job, 3)
    worker.terminate()
    worker.wait(10)
    assert broker.cancel(job.id).status is Status.QUEUED
    start_worker(Kind.TRAIN)
    ended = wait(broker, job)
    assert ended.status is Status.CANCELLED
    assert ended.result is not None
    assert ended.result["step"] >= 3


def test_second_signal_ends_a_worker_at_once(broker: Broker, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker(Kind.GENERATE)
    job = broker.submit(Kind.GENERATE, {"meet": str(tmp_path), "guests": 2}, max_queued=10)  # nobody else will come
    eventually(lambda: broker.view(job.id).status is Status.RUNNING)
    worker.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1.5)
    worker.terminate()
    assert worker.wait(5) == 1


def test_job_of_a_killed_worker_runs_again_by_itself(broker: Broker, start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker(Kind.TRAIN)
    job = submit_training(broker, tmp_path, steps=40, seconds=0.05)
    wait_for_step(broker, job, 1)
    other = start_worker(Kind.TRAIN)
    eventually(lambda: len(broker.workers()) == 2)
    worker.kill()
    ended = wait(broker, job)
    assert ended.status is Status.SUCCEEDED
    assert ended.result is not None
    assert ended.result["first"] >= 1
    assert ended.result["pid"] == other.pid


def test_job_that_kills_its_workers_is_given_up(
    broker: Broker, start_worker: StartWorker, tmp_path: Path, server_redis: Redis
) -> None:
    job = submit_training(broker, tmp_path, steps=100_000, seconds=0.02)
    for _ in range(3):
        worker = start_worker(Kind.TRAIN)
        eventually(lambda: broker.view(job.id).status is Status.RUNNING)
        worker.kill()
        worker.wait()
        broker.abandon(worker.pid)  # as the supervisor does: at once
        assert broker.workers() == []
    ended = broker.view(job.id)
    assert ended.status is Status.FAILED
    assert ended.problem is not None
    assert ended.problem.type == "WorkerDied"
    assert events(broker, job)[-1].data["status"] == "failed"
    assert server_redis.llen("rq:queue:train") == 0


def test_abandon_leaves_the_living_alone(broker: Broker, start_worker: StartWorker, tmp_path: Path) -> None:
    start_worker(Kind.TRAIN)
    job = submit_training(broker, tmp_path, steps=20, seconds=0.02)
    wait_for_step(broker, job, 1)
    broker.abandon(os.getpid())
    ended = wait(broker, job)
    assert ended.result is not None
    assert ended.result["first"] == 0


def test_job_function_can_be_called_directly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        outcome = train({"checkpoint": str(tmp_path / "checkpoint"), "steps": 3})
    assert outcome["result"]["step"] == 3
    assert current_context().job_id == "direct"
    assert not caplog.records
