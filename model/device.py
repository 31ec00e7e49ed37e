"""Choice of the device that does the work. Free of torch, and nothing here touches CUDA.

GPUs are listed by the driver's own tool, nvidia-smi, so that a process that starts others, or that forks, can know of
them. `claim` narrows `CUDA_VISIBLE_DEVICES` to the one that a process is to use, before torch is loaded there: to that
process it is `cuda:0`, whatever its number on the machine.
"""

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

from model.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader")
PATIENCE = 30.0
"""Seconds: a driver that was asleep takes a few to answer."""


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine, as `nvidia-smi` names it."""

    index: int
    """Among those that this process may use, from 0; the N of `cuda:N`."""
    uuid: str
    name: str


@dataclass(frozen=True)
class Device:
    """What does the work: `cpu`, or one GPU."""

    label: str
    """`cpu` or `cuda:N`, N counted among the GPUs that the process was started with."""
    name: str
    """Of the processor or the card."""

    @property
    def torch(self) -> str:
        """What PyTorch calls it in a process that has claimed it."""
        return "cpu" if self.label == "cpu" else "cuda:0"

    def __str__(self) -> str:
        return f"{self.label} ({self.name})"


def choose(name: str) -> Device:
    """The device for `auto` (the first usable GPU, if there is one), `cpu`, `cuda` (the same, but there must be one) or
    `cuda:N`.

    Raises:
        ConfigError: that device is not there, or PyTorch here cannot use it.
    """
    if name == "cpu":
        return Device(name, processor())
    if name == "auto":
        found = usable_gpus()
        return _device(found[0]) if found else Device("cpu", processor())
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index or "0").isdecimal():
        raise ConfigError(f"device {name!r} is none of auto, cpu, cuda and cuda:N")
    return _device(_required(name, int(index or 0)))


def claim(name: str) -> Device:
    """Choose, and let this process see no other GPU; to be called before torch is loaded.

    Raises:
        ConfigError: that device is not there, or PyTorch here cannot use it.
    """
    device = choose(name)
    if device.label != "cpu":
        os.environ[VISIBLE] = gpus()[int(device.label.removeprefix("cuda:"))].uuid
    return device


def usable_gpus() -> list[Gpu]:
    """The GPUs that this process may use, none where PyTorch cannot use any."""
    there = gpus()
    return there if there and cuda_version() else []


def gpus() -> list[Gpu]:
    """The GPUs that the driver lists, in the order and with the restrictions of `CUDA_VISIBLE_DEVICES`."""
    try:
        answer = subprocess.run(QUERY, capture_output=True, text=True, check=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError):  # no driver, or one that does not answer
        return []
    rows = [line.split(", ", 2) for line in answer.stdout.splitlines() if line.count(", ") >= 2]
    return [Gpu(place, uuid, name) for place, (_, uuid, name) in enumerate(_visible(rows))]


def cuda_version() -> str | None:
    """The version of CUDA that the installed PyTorch was built for, read without loading it; None: a CPU build."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    version: str | None = run_path(str(Path(spec.origin).with_name("version.py"))).get("cuda")
    return version


def processor() -> str:
    """The name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _device(gpu: Gpu) -> Device:
    return Device(f"cuda:{gpu.index}", gpu.name)


def _required(name: str, index: int) -> Gpu:
    there = gpus()
    if index >= len(there):
        listed = ", ".join(f"cuda:{gpu.index} ({gpu.name})" for gpu in there) or "none"
        raise ConfigError(f"device {name!r} was asked for, and is not there; GPUs that can be seen: {listed}")
    if cuda_version() is None:
        raise ConfigError(f"device {name!r} was asked for, but the PyTorch that is installed is built without CUDA")
    return there[index]


def _visible(rows: list[list[str]]) -> list[list[str]]:
    """Rows (index, uuid, name) as `CUDA_VISIBLE_DEVICES` lets a process see them: by index or by (the start of) UUID.

    As in CUDA, what comes after an entry that names no GPU counts for nothing.
    """
    restriction = os.environ.get(VISIBLE)
    if restriction is None:
        return rows
    seen: list[list[str]] = []
    for entry in restriction.split(","):
        found = [row for row in rows if row[0] == entry.strip() or (entry and row[1].startswith(entry.strip()))]
        if len(found) != 1:
            break
        seen += found
    return seen
