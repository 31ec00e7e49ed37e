"""A real server for the tests of this folder, and real worker processes."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.worker.jobs_for_tests import FUNCTIONS
from worker.broker import Broker
from worker.embedded import EmbeddedServer
from worker.protocol import Kind

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("server")) as server:
        process = server.start()
        yield server
        process.terminate()
        process.wait()


@pytest.fixture
def broker(server: EmbeddedServer) -> Iterator[Broker]:
    """A broker whose jobs are those of jobs_for_tests, on an empty server."""
    with Redis.from_url(server.url) as redis:
        redis.flushall()
    broker = Broker(server.url, functions=FUNCTIONS)
    yield broker
    asyncio.run(broker.close())


@pytest.fixture
def server_redis(server: EmbeddedServer) -> "Iterator[Redis]":
    """A plain client, to look behind the broker."""
    with Redis.from_url(server.url) as redis:
        yield redis


@pytest.fixture
def start_worker(server: EmbeddedServer) -> Iterator[Callable[[Kind], "subprocess.Popen[bytes]"]]:
    """Starts worker processes; those still there at the end are killed."""
    processes = []

    def start(kind: Kind) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.worker.jobs_for_tests", server.url, kind]
        processes.append(subprocess.Popen(command, cwd=ROOT))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def run_async(broker: Broker, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a loop of its own, and close there what the broker opened in it."""

    async def main() -> Any:
        try:
            return await coroutine
        finally:
            await broker.close()

    return asyncio.run(main())


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value
