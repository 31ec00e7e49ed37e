"""Model tests run on every device that this machine has."""

import os
from typing import NamedTuple

import pytest
import torch

from model.kernel import Kernel, kernels

DEVICES = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is loaded: its kernels run on the CPU, in NumPy

torch.set_num_threads(1)  # tiny models, on which threads only wait for each other


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


class Way(NamedTuple):
    """Where something is computed, and with what: on a GPU there is no compiled kernel."""

    device: torch.device
    kernel: Kernel | None


WAYS = [
    *(Way(torch.device(device), None) for device in DEVICES),
    *(Way(torch.device("cpu"), kernel) for kernel in kernels()),
]


def name_of(way: Way) -> str:
    """For the names of tests: the kernel, or PyTorch with its device."""
    return way.kernel.name if way.kernel else f"torch-{way.device}"


@pytest.fixture(params=WAYS, ids=name_of)
def way(request: pytest.FixtureRequest) -> Way:
    """PyTorch on every device, and the compiled kernel for each instruction set of this machine."""
    found: Way = request.param
    return found


@pytest.fixture(params=[None, *kernels()], ids=lambda kernel: kernel.name if kernel else "torch")
def kernel(request: pytest.FixtureRequest) -> Kernel | None:
    """PyTorch, and the compiled kernel for each instruction set of this machine."""
    found: Kernel | None = request.param
    return found


@pytest.fixture(params=kernels(), ids=lambda kernel: kernel.name)
def compiled(request: pytest.FixtureRequest) -> Kernel:
    found: Kernel = request.param
    return found
