"""Choice of the device that does the work. Free of torch unless a GPU may be there."""

from pathlib import Path

from model.errors import ConfigError

GPU_FILES = ("/dev/nvidiactl", "/dev/dxg")
"""Drivers of CUDA, on Linux and on Windows' Linux: where there is neither, there is no need to load torch to know."""


def choose(name: str) -> str:
    """`cpu` or `cuda:N`, for `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ConfigError: that device is not there.
    """
    if name == "cpu":
        return name
    n_gpus = _count_gpus()
    if name == "auto":
        return "cuda:0" if n_gpus else "cpu"
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index or "0").isdecimal():
        raise ConfigError(f"device {name!r} is none of auto, cpu, cuda and cuda:N")
    if int(index or 0) >= n_gpus:
        raise ConfigError(f"device {name!r} was asked for, but this machine has {n_gpus} GPUs")
    return f"cuda:{int(index or 0)}"


def _count_gpus() -> int:
    if not any(Path(file).exists() for file in GPU_FILES):
        return 0
    import torch  # noqa: PLC0415 (a second, which a worker without a GPU can do without)

    return torch.cuda.device_count()
