"""Whether a kernel is right and faster than what it is to replace: tried when a worker starts, not believed."""

import time
from collections.abc import Callable

import torch

TIMES = 5


def fault(
    wrong: Callable[[], str], fused: Callable[[], object], plain: Callable[[], object], device: torch.device
) -> str:
    """What is wrong with a kernel, as `wrong` says or because it fails or is slower; nothing if it is to be taken."""
    try:
        if why := wrong():
            return why
        took, plainly = (seconds(work, device) for work in (fused, plain))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return f"does not run: {type(error).__name__}: {error}"
    return "" if took < plainly else f"takes {1e3 * took:.2f} ms and the plain one {1e3 * plainly:.2f}"


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """The shortest of some times, the work on the device done."""
    best = float("inf")
    for _ in range(TIMES):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best
