"""Model tests run on every device that this machine has."""

import os

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


@pytest.fixture(params=[None, *kernels()], ids=lambda kernel: kernel.name if kernel else "torch")
def kernel(request: pytest.FixtureRequest) -> Kernel | None:
    """PyTorch, and the compiled kernel for each instruction set of this machine."""
    found: Kernel | None = request.param
    return found


@pytest.fixture(params=kernels(), ids=lambda kernel: kernel.name)
def compiled(request: pytest.FixtureRequest) -> Kernel:
    found: Kernel = request.param
    return found
