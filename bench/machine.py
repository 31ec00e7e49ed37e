"""What this machine can do: fp32 matrix products and random numbers, by the best library at hand.

    python -m bench.machine         measure when asked (bench.process)

Products of square matrices of `SIZE`, by torch.mm (MKL on x86), by NumPy (OpenBLAS) and by oneDNN, which torch uses
for tensors in its layout; oneDNN knows AVX-512 processors that MKL takes for lesser ones. Each figure is the best of
`TRIES`: a limit, not a mean.
"""

import time
from collections.abc import Callable

import torch
from torch.nn.functional import linear

from bench.process import Answer, serve

SIZE = 2048
NUMBERS = 1 << 22
TRIES = 5


def gemm() -> Answer:
    """GFLOP/s by library."""
    a, b = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    x, y = a.numpy(), b.numpy()
    products: dict[str, Callable[[], object]] = {"torch.mm": lambda: a @ b, "NumPy": lambda: x @ y}
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call] # torch leaves it untyped
        p, q = a.to_mkldnn(), b.to_mkldnn()
        products["oneDNN"] = lambda: linear(p, q)
    return {name: 2e-9 * SIZE**3 / _best_seconds(product) for name, product in products.items()}


def random() -> Answer:
    """Random numbers per second: uniform floats of torch.rand, and Bernoulli draws of torch.bernoulli."""
    out = torch.empty(NUMBERS)
    p = torch.rand(NUMBERS)
    return {
        "torch.rand": NUMBERS / _best_seconds(lambda: torch.rand(NUMBERS, out=out)),
        "torch.bernoulli": NUMBERS / _best_seconds(lambda: torch.bernoulli(p, out=out)),
    }


def _best_seconds(work: Callable[[], object]) -> float:
    work()
    best = float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    serve({"kernel": f"torch {torch.__version__}"}, {"gemm": gemm, "random": random})
