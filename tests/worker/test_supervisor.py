"""The supervisor, as a process with real children."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.conftest import ROOT, eventually, run_async
from tests.worker.jobs_for_tests import FUNCTIONS
from worker.broker import Broker
from worker.cli import main
from worker.errors import BrokerError, StartError
from worker.protocol import Kind, Status
from worker.settings import Settings
from worker.supervisor import WORKER, Child, check_port, default_children, embedded_directory, serve


class Supervised:
    """A running supervisor and what its children noted."""

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self.notes = directory / "notes"
        self.temporary = directory / "tmp"
        self.data = directory / "data"
        for folder in (self.notes, self.temporary, self.data):
            folder.mkdir()
        names = {"PORT": str(port), "DATA": str(self.data), "REDIS_URL": ""}
        environment = {f"RNNRBM_{name}": value for name, value in names.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.worker.supervised_for_tests", str(self.notes)],
            cwd=ROOT,
            env={**os.environ, **environment, "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def pids(self, name: str) -> list[int]:
        file = self.notes / f"{name}.pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    @property
    def url(self) -> str:
        return (self.notes / "url").read_text()

    def server_pid(self) -> int:
        """The process that has the embedded server's socket, by the kernel's word."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.url.removeprefix("unix://"))
            return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
        return number


@pytest.fixture
def supervised(tmp_path: Path, port: int) -> Iterator[Supervised]:
    """A supervisor that said that it is ready."""
    supervised = Supervised(tmp_path, port)
    process = supervised.process
    assert process.stdout is not None
    assert process.stdout.readline() == f"rnnrbm is ready at http://127.0.0.1:{port}\n"
    eventually(lambda: supervised.pids("idler"))
    yield supervised
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture
def broker(supervised: Supervised) -> Iterator[Broker]:
    broker = Broker(supervised.url, functions=FUNCTIONS)
    yield broker
    asyncio.run(broker.close())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_everything_in_order_and_leaves_nothing(
    supervised: Supervised, broker: Broker, number: signal.Signals
) -> None:
    (worker,) = eventually(broker.workers)
    pids = [worker.pid, supervised.server_pid(), *supervised.pids("api"), *supervised.pids("idler")]
    assert all(alive(pid) for pid in pids)
    supervised.process.send_signal(number)
    assert supervised.process.wait(20) == 0
    assert not any(alive(pid) for pid in pids)
    assert (supervised.notes / "stopped").read_text().split() == ["api", "idler"]
    assert list(supervised.temporary.iterdir()) == []


def test_killed_supervisor_takes_everything_with_it(supervised: Supervised, broker: Broker) -> None:
    (worker,) = eventually(broker.workers)
    pids = [worker.pid, supervised.server_pid(), *supervised.pids("api"), *supervised.pids("idler")]
    supervised.process.kill()
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_dead_child_is_started_again(supervised: Supervised) -> None:
    os.kill(supervised.pids("idler")[0], signal.SIGKILL)
    eventually(lambda: len(supervised.pids("idler")) == 2)
    assert alive(supervised.pids("idler")[1])
    assert len(supervised.pids("api")) == 1


def test_dead_server_is_started_again_with_its_jobs(supervised: Supervised, broker: Broker) -> None:
    job = broker.submit(Kind.GENERATE, {}, max_queued=10)  # of a kind that nobody performs here
    before = supervised.server_pid()
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        try:
            return broker.view(job.id) == job
        except BrokerError:
            return False

    eventually(back)
    assert supervised.server_pid() != before


def test_job_of_a_dead_worker_goes_on(supervised: Supervised, broker: Broker, tmp_path: Path) -> None:
    params = {"checkpoint": str(tmp_path / "checkpoint"), "steps": 60, "seconds": 0.02}
    job = broker.submit(Kind.TRAIN, params, max_queued=10)
    eventually(lambda: broker.view(job.id).progress)
    (worker,) = broker.workers()
    os.kill(worker.pid, signal.SIGKILL)
    ended = run_async(broker, broker.wait(job, 30.0))
    assert ended.status is Status.SUCCEEDED
    assert ended.result["first"] >= 1
    assert ended.result["pid"] != worker.pid


def test_taken_port_is_told_in_words(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StartError, match=f"127.0.0.1:{port}.*--port"):
        check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_child_that_refuses_its_settings_ends_the_start(tmp_path: Path, port: int) -> None:
    def broken(settings: Settings, url: str) -> list[Child]:
        return [Child("broken", [sys.executable, "-c", "raise SystemExit(2)"], WORKER, os.environ)]

    with pytest.raises(StartError, match="broken cannot start"):
        serve(Settings(port=port, data=str(tmp_path), redis_url=""), children=broken)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_errors_for_the_user_come_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0"]) == 2
    assert capsys.readouterr().err.startswith("rnnrbm: RNNRBM_PORT: ")


def test_default_children_are_told_the_settings() -> None:
    settings = Settings(port=8123, train_workers=2, generate_workers=1, evaluate_workers=0)
    children = default_children(settings, "unix:///some.sock")
    assert [child.name for child in children] == ["generate worker 1", "train worker 1", "train worker 2", "api"]
    assert children[-1].environment["RNNRBM_PORT"] == "8123"
    assert {child.environment["RNNRBM_REDIS_URL"] for child in children} == {"unix:///some.sock"}


@pytest.mark.parametrize(
    ("data", "directory"),
    [("./var", "var/redis"), ("file:///srv/x", "/srv/x/redis"), ("s3://bucket/x", "var/redis")],
)
def test_server_data_lies_beside_local_artefacts(data: str, directory: str) -> None:
    assert embedded_directory(data) == Path(directory)
