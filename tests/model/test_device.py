"""The choice of a device, on machines with GPUs that are not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.device import choose, claim, cuda_version, gpus, processor, usable_gpus
from model.errors import ConfigError
from tests.gpus import fake_gpus

CARDS = ["NVIDIA H100, the first", "NVIDIA H100", "NVIDIA A10"]


def test_auto_is_the_first_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_gpus(monkeypatch, tmp_path, CARDS)
    assert str(choose("auto")) == str(choose("cuda")) == "cuda:0 (NVIDIA H100, the first)"
    assert (choose("cuda:2").label, choose("cuda:2").name) == ("cuda:2", "NVIDIA A10")
    assert (choose("cpu").label, choose("cpu").name) == ("cpu", processor())


def test_auto_is_the_cpu_where_there_is_no_gpu_or_pytorch_cannot_use_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_gpus(monkeypatch, tmp_path, [])
    assert choose("auto").label == "cpu"
    fake_gpus(monkeypatch, tmp_path, CARDS, cuda=None)
    assert choose("auto").label == "cpu"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert choose("auto").label == "cpu"


@pytest.mark.parametrize(
    ("name", "cuda", "words"),
    [
        ("cuda:3", "13.0", r"'cuda:3' was asked for.*cuda:0 \(NVIDIA H100, the first\), cuda:1.*cuda:2 \(NVIDIA A10\)"),
        ("cuda:1", None, "PyTorch that is installed is built without CUDA"),
        ("tpu", "13.0", "none of auto, cpu, cuda and cuda:N"),
        ("cuda:x", "13.0", "none of auto"),
    ],
)
def test_a_device_that_is_not_there_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, cuda: str | None, words: str
) -> None:
    fake_gpus(monkeypatch, tmp_path, CARDS, cuda)
    with pytest.raises(ConfigError, match=words):
        choose(name)


@pytest.mark.parametrize(
    ("visible", "names"),
    [("2,0", ["NVIDIA A10", CARDS[0]]), ("GPU-11", ["NVIDIA H100"]), ("", []), ("1,7,0", ["NVIDIA H100"]), ("-1", [])],
)
def test_only_gpus_that_cuda_would_see_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str, names: list[str]
) -> None:
    fake_gpus(monkeypatch, tmp_path, CARDS)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.name for gpu in gpus()] == names
    assert [gpu.index for gpu in gpus()] == list(range(len(names)))


def test_who_claims_a_gpu_sees_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_gpus(monkeypatch, tmp_path, CARDS)
    device = claim("cuda:1")
    assert (device.label, device.torch) == ("cuda:1", "cuda:0")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-11-fake"
    assert [gpu.name for gpu in gpus()] == ["NVIDIA H100"]


def test_what_pytorch_is_built_for_is_known_without_loading_it() -> None:
    script = "import sys; from model.device import cuda_version; print(cuda_version(), 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == f"{torch.version.cuda} False\n"
    assert cuda_version() == torch.version.cuda


def test_the_gpus_that_are_counted_are_those_that_pytorch_finds() -> None:
    assert len(usable_gpus()) == torch.cuda.device_count()
