"""Real jobs in real workers on a card without room, and on one that is lost; the card itself is simulated."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.pieces import midi_file
from tests.worker.card_for_tests import ROOM
from tests.worker.conftest import ROOT, eventually, run_async
from worker.broker import Broker
from worker.corpora import ingest
from worker.embedded import EmbeddedServer
from worker.process import DEVICE_LOST
from worker.protocol import GenerateParams, JobView, Kind, Status, complete
from worker.settings import Settings
from worker.store import GENERATION, MODEL, ArtefactStore

CARD = "cuda:0 (a card of the tests)"
TRAINING = {
    "recipe": "tutorial", "epochs": 30, "n_hidden": 6, "n_hidden_recurrent": 5, "steps_per_beat": 2, "gibbs_steps": 2,
    "n_parallel": 3, "batch_size": 40,
}  # fmt: skip

PATIENCE = 240.0
"""Seconds: a worker loads PyTorch first, which takes long where the cores have other work."""
pytestmark = pytest.mark.timeout(1200)

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(str(tmp_path / "data"))


@pytest.fixture
def broker(server: EmbeddedServer) -> Iterator[Broker]:
    """A broker of real jobs, on an empty server."""
    with Redis.from_url(server.url) as redis:
        redis.flushall()
    broker = Broker(server.url)
    yield broker
    asyncio.run(broker.close())


@pytest.fixture
def start(server: EmbeddedServer, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker on the card, or with the fault `cpu` a real one on the CPU."""
    processes = []
    data = str(tmp_path / "data")

    def start(kind: Kind, fault: str) -> "subprocess.Popen[bytes]":
        card = ["tests.worker.card_for_tests", server.url, data, kind, fault, str(tmp_path / "notes")]
        command = ["worker.cli", "worker", kind] if fault == "cpu" else card
        names = {"DEVICE": "cpu", "DATA": data, "REDIS_URL": server.url}
        environment = os.environ | {f"RNNRBM_{name}": value for name, value in names.items()}
        processes.append(subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def chains_asked_for(tmp_path: Path) -> list[int]:
    return [int(line) for line in (tmp_path / "notes").read_text().split()]


def submit_training(broker: Broker, store: ArtefactStore) -> JobView:
    corpus = ingest(store, [(f"{seed}.mid", BytesIO(midi_file(seed))) for seed in range(3)], Settings())
    return broker.submit(Kind.TRAIN, {**TRAINING, "corpus": corpus["id"]}, max_queued=10)


def wait(broker: Broker, job: JobView) -> JobView:
    ended: JobView = run_async(broker, broker.wait(job, PATIENCE))
    return ended


def history(broker: Broker, job: JobView) -> list[tuple[str, int | None]]:
    """The job's events, by name and step."""

    async def collect() -> list[tuple[str, int | None]]:
        return [(event.event, event.data.get("step")) async for event in broker.events(job.id)]

    found: list[tuple[str, int | None]] = run_async(broker, collect())
    return found


def test_a_training_without_room_goes_on_in_smaller_parts(
    broker: Broker, start: Start, store: ArtefactStore, tmp_path: Path
) -> None:
    worker = start(Kind.TRAIN, "small")
    ended = wait(broker, submit_training(broker, store))
    assert ended.status is Status.SUCCEEDED, ended.problem
    assert (ended.result["device"], ended.result["device_name"], ended.result["kernel"]) == (
        "cuda:0", "a card of the tests", "card",
    )  # fmt: skip
    asked = chains_asked_for(tmp_path)
    assert asked[0] == 120
    assert set(asked[1:]) == {40}
    assert worker.poll() is None
    record = store.record(MODEL, ended.id)
    assert (record["device"], record["device_name"], record["kernel"]) == ("cuda:0", "a card of the tests", "card")


def test_pieces_without_room_are_sampled_in_smaller_parts(
    broker: Broker, start: Start, store: ArtefactStore, tmp_path: Path
) -> None:
    start(Kind.GENERATE, "small")
    ended = wait(broker, submit_pieces(broker, store, n=100, seed=1))
    assert ended.status is Status.SUCCEEDED, ended.problem
    assert store.record(GENERATION, ended.id)["n"] == 100
    asked = chains_asked_for(tmp_path)
    assert asked[0] == 100
    assert max(asked[1:]) <= ROOM


def test_a_training_whose_card_is_lost_goes_on_from_its_checkpoint_on_the_cpu(
    broker: Broker, start: Start, store: ArtefactStore
) -> None:
    job = submit_training(broker, store)
    assert start(Kind.TRAIN, "lost").wait(PATIENCE) == DEVICE_LOST
    waiting = broker.view(job.id)
    assert waiting.status is Status.QUEUED
    assert waiting.progress.step > 0
    assert broker.workers() == []
    start(Kind.TRAIN, "cpu")
    ended = wait(broker, job)
    assert ended.status is Status.SUCCEEDED, ended.problem
    assert ended.result["device"] == "cpu"
    told = history(broker, job)
    again = told[[name for name, _ in told].index("queued", 1) :]
    assert [name for name, _ in again[:3]] == ["queued", "started", "progress"]
    assert again[2][1] >= waiting.progress.step - 1  # not from the beginning
    assert [row["epoch"] for row in store.record(MODEL, job.id)["metrics"]] == list(range(1, 31))


def test_a_job_that_costs_one_card_after_another_is_given_up_and_its_problem_names_them(
    broker: Broker, start: Start, store: ArtefactStore
) -> None:
    job = submit_pieces(broker, store, n=2, seed=1, length=100)
    for _ in range(3):
        assert not broker.view(job.id).status.ended
        assert start(Kind.GENERATE, "lost").wait(PATIENCE) == DEVICE_LOST
    ended = broker.view(job.id)
    assert ended.status is Status.FAILED
    assert ended.problem.type == "DeviceLost"
    assert ended.problem.detail == f"device {CARD} was lost: CUDA error: an illegal memory access was encountered"


def submit_pieces(broker: Broker, store: ArtefactStore, **params: Any) -> JobView:
    wanted = GenerateParams(**{"length": 6, "gibbs_steps": 2, **params})
    job = complete(wanted, store.find_model("nottingham"), wanted.seed or 0)
    return broker.submit(Kind.GENERATE, job.model_dump(mode="json"), max_queued=100)


def test_pieces_of_waiting_jobs_for_one_model_are_sampled_together(
    broker: Broker, start: Start, store: ArtefactStore, tmp_path: Path
) -> None:
    like = [submit_pieces(broker, store, n=n, seed=100 * n) for n in (3, 1, 4)]
    other = submit_pieces(broker, store, n=5, seed=9, temperature=0.5)
    last = submit_pieces(broker, store, n=2, seed=7)
    worker = start(Kind.GENERATE, "none")
    for job in (*like, other, last):
        assert wait(broker, job).status is Status.SUCCEEDED
    asked = chains_asked_for(tmp_path)
    assert asked == [8] * 6 + [5] * 6 + [2] * 6
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    together = store.file(GENERATION, like[1].id, "piece.roll")
    start(Kind.GENERATE, "none")
    alone = wait(broker, submit_pieces(broker, store, n=1, seed=100))
    assert store.file(GENERATION, alone.id, "piece.roll") == together


def test_jobs_that_a_worker_holds_go_back_in_order_when_its_card_is_lost(
    broker: Broker, start: Start, store: ArtefactStore, server_redis: Redis
) -> None:
    """The one in hand comes after them: it may be what the card was lost by."""
    jobs = [submit_pieces(broker, store, n=1, seed=seed, length=100) for seed in range(4)]
    assert start(Kind.GENERATE, "lost").wait(PATIENCE) == DEVICE_LOST
    assert [job.decode() for job in server_redis.lrange("rq:queue:generate", 0, -1)] == [
        job.id for job in (*jobs[1:], jobs[0])
    ]
    assert server_redis.llen("rq:queue:generate:intermediate") == 0
    start(Kind.GENERATE, "cpu")
    for job in jobs:
        ended = wait(broker, job)
        assert (ended.status, ended.result["device"]) == (Status.SUCCEEDED, "cpu")
        told = [name for name, _ in history(broker, job) if name != "progress"]
        assert told == ["queued", "started", "queued", "started", "end"]


def test_jobs_that_a_killed_worker_held_run_again_by_themselves(
    broker: Broker, start: Start, store: ArtefactStore
) -> None:
    jobs = [submit_pieces(broker, store, n=1, seed=seed, length=20_000) for seed in range(3)]
    worker = start(Kind.GENERATE, "none")
    eventually(lambda: broker.view(jobs[0].id).status is Status.RUNNING, PATIENCE)
    eventually(lambda: broker.waiting()[Kind.GENERATE] == 0, PATIENCE)
    worker.kill()
    worker.wait()
    broker.abandon(worker.pid)
    eventually(lambda: broker.waiting()[Kind.GENERATE] == 3, PATIENCE)
    assert all(broker.view(job.id).status is Status.QUEUED for job in jobs)
