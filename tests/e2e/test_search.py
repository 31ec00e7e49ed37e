"""`rnnrbm --url URL search`: the trials are jobs of the service, and stop with the search."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Server
from tests.pieces import midi_file

SMALL = {"n_hidden": 5, "n_hidden_recurrent": 5, "rbm_pretraining": 0}


@pytest.fixture
def command(server: Server, tmp_path: Path) -> list[str]:
    """All but the options."""
    for seed in range(2):
        (tmp_path / f"{seed}.mid").write_bytes(midi_file(seed, bars=8))
    paths = [str(tmp_path / f"{seed}.mid") for seed in range(2)]
    program = [sys.executable, "-m", "worker.cli", "--url", str(server.http.base_url), "search", *paths]
    return [*program, "--study", str(tmp_path / "study"), "--trials", "2", "--parallel", "2"]


def trainings(server: Server, status: str) -> list[dict]:
    return server.http.get("/jobs", params={"kind": "train", "status": status}).json()["items"]


def test_trials_are_jobs_and_the_best_has_a_model(server: Server, command: list[str]) -> None:
    before = {job["id"] for job in trainings(server, "succeeded")}
    done = subprocess.run(
        [*command, "--config", json.dumps({**SMALL, "epochs": 2})], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    model = server.http.get(f"/models/{found['model']}").json()
    assert found["log_likelihood"] == min(
        model["metrics"]["log_likelihood"], model["metrics"]["log_likelihood_reverse"]
    )
    assert len({job["id"] for job in trainings(server, "succeeded")} - before) == 2
    assert done.stderr.count("nats a frame") == 2


def test_who_stops_a_search_stops_its_jobs(server: Server, command: list[str]) -> None:
    with subprocess.Popen(
        [*command, "--config", json.dumps({**SMALL, "epochs": 10_000, "patience": 0})],
        stderr=subprocess.PIPE,
        text=True,
    ) as search:
        while not trainings(server, "running"):
            assert search.poll() is None
            time.sleep(0.05)
        search.send_signal(signal.SIGTERM)
        assert search.wait(30) == 0
    while trainings(server, "running") or trainings(server, "queued"):
        time.sleep(0.05)
    assert trainings(server, "cancelled")
