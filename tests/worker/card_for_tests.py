"""A worker on a card that is not there, whose faults are simulated: what it does it does on the CPU.

    python -m tests.worker.card_for_tests URL DATA KIND FAULT NOTES

The jobs are the real ones. FAULT is `none`; `small`: there is room for 64 chains at once; or `lost`: the card is gone
when chains are asked for the 20th time. How many were asked for together is noted in the file NOTES, a line a call.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from model.cuda.accelerator import Accelerator
from model.cuda.chains import PlainChains
from model.device import Device
from worker import runtime, training
from worker.broker import Broker
from worker.cache import ModelCache
from worker.main import configure_logging
from worker.process import perform
from worker.protocol import Kind
from worker.runtime import Runtime
from worker.store import ArtefactStore

ROOM = 64
CALLS = 20


class FaultyChains(PlainChains):
    """Chains on the card."""

    name = "card"

    def __init__(self, fault: str, notes: Path) -> None:
        self._fault = fault
        self._notes = notes
        self._calls = 0

    def _ask(self, bv: Tensor) -> None:
        self._calls += 1
        with self._notes.open("a") as notes:
            notes.write(f"{len(bv)}\n")
        if self._fault == "small" and len(bv) > ROOM:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(bv)} chains.")
        if self._fault == "lost" and self._calls >= CALLS:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def free(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, generator: torch.Generator) -> Tensor:
        self._ask(bv)
        return super().free(v, W, bv, bh, k, generator)

    def keyed(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int) -> Tensor:
        self._ask(bv)
        return super().keyed(v, W, bv, bh, k, keys, stream)


def main() -> None:
    url, data, kind, fault, notes = sys.argv[1:]
    configure_logging("INFO")
    torch.set_num_threads(1)
    training.CHECKPOINT_SECONDS = 0.0
    card = Accelerator("cpu", FaultyChains(fault, Path(notes)))
    store = ArtefactStore(data)
    place = Device("cuda:0", "a card of the tests")
    runtime._runtime = Runtime(store, "cpu", None, ModelCache(store, "cpu", None, card), place, card)
    perform(runtime._runtime, Broker(url), Kind(kind))


if __name__ == "__main__":
    main()
