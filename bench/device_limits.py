"""What a device can do, measured: matrix products, random numbers, copies; and what that allows of our work.

The roofline is a time for each of the three, of which the longest counts. It takes the recurrence, a chain of small
products one after another, for free: on a GPU that is what is left of the distance to it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from bench.report import Row
from bench.sizes import gibbs_random_numbers, update_flop
from model.config import ModelConfig

TRIES = 7


@dataclass(frozen=True)
class Sizes:
    """How much is measured with."""

    gemm: int = 8192
    numbers: int = 1 << 28
    copied: int = 1 << 30
    """Bytes."""


SMALL = Sizes(512, 1 << 18, 1 << 22)


@dataclass(frozen=True)
class Limits:
    """Operations, random numbers and bytes a second."""

    flops: float
    numbers: float
    bytes: float

    def seconds(self, frames: int, model: ModelConfig, k: int) -> float:
        """Of a whole update by CD-k, at least: frames, bits and biases are moved once."""
        moved = 4 * (model.n_visible + model.n_hidden) + model.n_visible / 8
        return frames * max(
            update_flop(model, k) / self.flops, k * gibbs_random_numbers(model) / self.numbers, moved / self.bytes
        )


def seconds(work: Callable[[], object], device: torch.device, tries: int = TRIES) -> float:
    """Median of some times, what was begun on the device done; what is set up at first does not count."""
    found = []
    for _ in range(tries + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return median(found[1:])


def measure(device: torch.device, name: str, sizes: Sizes) -> tuple[Limits, list[Row]]:
    """The limits, and a row for each."""
    rates = {}
    for dtype, tf32 in ((torch.float32, False), (torch.float32, True), (torch.bfloat16, False)):
        label = "tf32" if tf32 else str(dtype).removeprefix("torch.")
        rates[label] = _gemm(device, sizes.gemm, dtype, tf32)
    out = torch.empty(sizes.numbers, device=device)
    numbers = sizes.numbers / seconds(lambda: torch.rand(sizes.numbers, out=out), device)
    a, b = (torch.randint(256, (sizes.copied,), dtype=torch.uint8, device=device) for _ in range(2))
    copied = 2 * sizes.copied / seconds(lambda: b.copy_(a), device)
    rows = [Row(f"GEMM, {label}", name, rate / 1e12, "TFLOP/s") for label, rate in rates.items()]
    rows += [Row("random numbers, torch.rand", name, numbers / 1e9, "G/s")]
    rows += [Row("copy, read and written", name, copied / 1e9, "GB/s")]
    return Limits(rates["tf32"], numbers, copied), rows


def _gemm(device: torch.device, size: int, dtype: torch.dtype, tf32: bool) -> float:
    """Operations a second of a square matrix product."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        return 2 * size**3 / seconds(lambda: a @ b, device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
