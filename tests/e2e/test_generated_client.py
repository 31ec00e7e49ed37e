"""A client that a public generator makes of /openapi.json, and no word of ours beside it, can use the service."""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.e2e.conftest import Server
from tests.pieces import midi_file

PACKAGE = "generated_rnnrbm"
BINARY = ("audio/midi", "audio/wav", "image/png", "application/zip")
SMALL = {"recipe": "tutorial", "epochs": 2, "n_hidden": 10, "n_hidden_recurrent": 5, "name": "generated"}


@pytest.fixture(scope="module")
def package(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the generated package; a warning of the generator is a failure."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(server.http.get("/openapi.json").content)
    # what the generator is to hand on as it comes: it has names for JSON and text only
    config = {"content_type_overrides": dict.fromkeys(BINARY, "application/octet-stream"), "post_hooks": []}
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning",
               "--path", "openapi.json", "--config", "config.json", "--output-path", PACKAGE]  # fmt: skip
    made = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


@pytest.fixture
def load(package: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports modules of the package."""
    monkeypatch.syspath_prepend(package)

    def module(name: str) -> ModuleType:
        return importlib.import_module(f"{PACKAGE}.{name}")

    return module


@pytest.fixture
def client(server: Server, load: Any) -> Iterator[Any]:
    with load("client").Client(base_url=str(server.http.base_url), timeout=60) as client:
        yield client


def test_it_trains_follows_and_generates(client: Any, load: Any) -> None:
    types, models = load("types"), load("models")
    files = [types.File(io.BytesIO(midi_file(seed)), f"{seed}.mid", "audio/midi") for seed in range(2)]
    body = models.TrainFilesBody(files=files, config=models.TrainParams.from_dict(SMALL))
    job = load("api.train.train").sync(client=client, body=body)
    assert (job.kind, job.status) == (models.Kind.TRAIN, models.Status.QUEUED)

    events = load("api.jobs.get_job_events").sync_detailed(job.id, client=client)
    assert events.content.decode().count("event: progress") == 3
    ended = load("api.jobs.get_job").sync(job.id, client=client)
    assert ended.status == models.Status.SUCCEEDED
    assert ended.progress.step == ended.progress.total == 2

    asked = models.PieceParams(model="generated", length=30, seed=7)
    piece = load("api.generate.generate").sync_detailed(client=client, body=asked)
    assert piece.parsed.payload.read().startswith(b"MThd")
    kept = load("api.generations.get_generation").sync(piece.headers["x-job-id"], client=client)
    assert (kept.model, kept.seed, len(kept.frames)) == (ended.result["model"], 7, 30)
    again = load("api.generations.get_generation_midi").sync(kept.id, client=client)
    assert again.payload.read() == piece.content


def test_errors_come_as_problems(client: Any, load: Any) -> None:
    missing = load("api.models.get_model").sync("none", client=client)
    assert (type(missing).__name__, missing.status) == ("ProblemDetails", 404)
    asked = load("models").PieceParams(length=0)
    refused = load("api.generate.generate").sync(client=client, body=asked)
    assert refused.errors[0]["field"] == "length"
