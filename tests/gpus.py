"""A machine with GPUs that are not there: an `nvidia-smi` on the PATH that lists them."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest


def fake_gpus(monkeypatch: pytest.MonkeyPatch, folder: Path, names: Sequence[str], cuda: str | None = "13.0") -> None:
    """Let this process, and those that it starts, find these GPUs; `cuda` is what PyTorch here is built for.

    The latter holds in this process only: the others have the PyTorch that is installed.
    """
    tool = folder / "nvidia-smi"
    lines = "".join(f"{index}, GPU-{index}{index}-fake, {name}\n" for index, name in enumerate(names))
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}END\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that it is as before afterwards, whatever is done to it
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("model.device.cuda_version", lambda: cuda)
