"""The whole program as a user starts it: `rnnrbm serve`, with its own Valkey, workers and API."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

START_SECONDS = 90


@dataclass
class Server:
    """A running `rnnrbm serve`."""

    process: subprocess.Popen[str]
    http: httpx.Client
    data: Path

    def wait_for_job(self, job_id: str, seconds: float = 120) -> dict:
        """The job once it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.http.get(f"/jobs/{job_id}").raise_for_status().json()
            if job["status"] not in ("queued", "running"):
                return job
            time.sleep(0.05)
        raise AssertionError(f"job {job_id} has not ended: {job}")

    def stop(self) -> int:
        """Stop it as Ctrl+C does; its exit status."""
        self.http.close()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


def start(data: Path, **environment: str) -> Server:
    """Start a server on a free port and wait until it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.cli", "serve"],
        env={**os.environ, "RNNRBM_PORT": str(port), "RNNRBM_DATA": str(data), **environment},
        text=True,
        start_new_session=True,
    )
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if http.get("/readyz").status_code == 200:
                return Server(process, http, data)
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    process.kill()
    raise AssertionError("rnnrbm serve did not become ready")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start(tmp_path_factory.mktemp("e2e"), RNNRBM_MAX_UPLOAD_BYTES="2000000")
    yield server
    assert server.stop() == 0
