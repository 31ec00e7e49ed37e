"""Workers on machines with GPUs that are not there; the worker processes are real."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.device import usable_gpus
from tests.gpus import fake_gpus
from tests.worker.conftest import ROOT, eventually, run_async
from worker.broker import Broker
from worker.devices import posts
from worker.embedded import EmbeddedServer
from worker.errors import StartError
from worker.protocol import Kind
from worker.runtime import prepare
from worker.settings import Settings
from worker.supervisor import default_children

CARDS = ["NVIDIA H100", "NVIDIA A10"]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_gpus(monkeypatch, tmp_path, CARDS)


def names(**settings: object) -> list[str]:
    return [post.name for post in posts(Settings(**settings))]


ON_GPUS = [f"{kind} worker on cuda:{n}" for n in (0, 1) for kind in ("generate", "train", "evaluate")]
ON_CPU = ["generate worker 1", "generate worker 2", "train worker 1", "evaluate worker 1"]


@pytest.mark.usefixtures("two_gpus")
def test_each_gpu_gets_one_worker_of_each_kind() -> None:
    assert names(device="auto") == [*ON_GPUS, *ON_CPU]
    assert names(device="cuda") == ON_GPUS
    assert names(device="auto", cpu_workers=False) == ON_GPUS
    assert names(device="cuda:1", cpu_workers=True) == [*ON_GPUS[3:], *ON_CPU]
    assert names(device="cpu") == ON_CPU
    assert names(device="cuda", train_workers=0, evaluate_workers=0) == [ON_GPUS[0], ON_GPUS[3]]


def test_without_a_gpu_the_workers_are_on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_gpus(monkeypatch, tmp_path, [])
    assert names(device="auto") == names(device="auto", cpu_workers=False) == ON_CPU


@pytest.mark.usefixtures("two_gpus")
def test_workers_are_told_their_device() -> None:
    children = default_children(Settings(device="auto", generate_workers=1, train_workers=0), "unix:///some.sock")
    assert [child.environment["RNNRBM_DEVICE"] for child in children] == [
        "cuda:0", "cuda:0", "cuda:1", "cuda:1", "cpu", "cpu", "auto",
    ]  # fmt: skip


@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_is_not_there_ends_the_start() -> None:
    with pytest.raises(StartError, match=r"'cuda:2' was asked for.*cuda:1 \(NVIDIA A10\)"):
        default_children(Settings(device="cuda:2"), "unix:///some.sock")


@pytest.mark.parametrize("command", [["serve"], ["worker", "train"]])
def test_the_commands_tell_so_in_words_and_end(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_gpus(monkeypatch, tmp_path, CARDS)
    names = {"DEVICE": "cuda:2", "REDIS_URL": f"unix://{tmp_path}/none.sock", "DATA": str(tmp_path), "PORT": "8917"}
    environment = os.environ | {f"RNNRBM_{name}": value for name, value in names.items()}
    program = [sys.executable, "-m", "worker.cli", *command]
    ended = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("rnnrbm: device 'cuda:2' was asked for")


@pytest.mark.skipif(bool(usable_gpus()), reason="PyTorch here can use a GPU")
@pytest.mark.usefixtures("two_gpus")
def test_a_worker_whose_gpu_pytorch_cannot_use_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"device cuda:1 \(NVIDIA A10\): PyTorch cannot use it"):
        prepare(Kind.TRAIN, Settings(device="cuda:1", data=str(tmp_path)))


@pytest.fixture
def workers(broker: Broker, server: EmbeddedServer, tmp_path: Path) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """What `default_children` would start for two GPUs, with jobs that need none."""
    folder = tmp_path / "bin"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        fake_gpus(patch, folder, CARDS)
        settings = Settings(device="auto", generate_workers=1, train_workers=1, evaluate_workers=0)
        *children, _ = default_children(settings, server.url)
        module = [sys.executable, "-m", "tests.worker.jobs_for_tests", server.url]
        processes = [
            subprocess.Popen([*module, child.command[-1]], cwd=ROOT, env=child.environment) for child in children
        ]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_every_worker_says_which_device_it_has_and_sees_no_other_gpu(
    broker: Broker, workers: "list[subprocess.Popen[bytes]]", tmp_path: Path
) -> None:
    found = eventually(lambda: len(broker.workers()) == len(workers) and broker.workers(), 240.0)
    assert {(view.queue, view.device, view.device_name) for view in found} == {
        (kind, *device)
        for kind in ("generate", "train")
        for device in (("cuda:0", "NVIDIA H100"), ("cuda:1", "NVIDIA A10"), ("cpu", "a test"))
    }
    place = tmp_path / "place"
    place.mkdir()
    jobs = [broker.submit(Kind.GENERATE, {"meet": str(place), "guests": 3}, max_queued=10) for _ in range(3)]
    ended = [run_async(broker, broker.wait(job, 240.0)) for job in jobs]
    assert {job.result["visible"] for job in ended} == {"GPU-00-fake", "GPU-11-fake", None}
