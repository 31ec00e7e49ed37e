"""The loops of the recurrence for a GPU: plain, or fused (model/cuda/recurrence.py) where that is right and faster."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from model.cuda.trial import fault
from model.rnn_rbm import PLAIN, Loops

TRIED = (100, 200, 256)
"""Recurrent units that the fused loops are tried with, in order: the recipes', and as many as they can have."""
TRIED_FRAMES, TRIED_SEQUENCES = 100, 256
CLOSE = 1e-4
"""Of the largest number of a result: how far fused and plain may be from one another."""

logger = logging.getLogger(__name__)


class FusedLoops:
    """See `Loops`; by kernels for up to `most` recurrent units, and plainly for more."""

    def __init__(
        self,
        states: Callable[[Tensor, Tensor, Tensor], Tensor],
        deltas: Callable[[Tensor, Tensor, Tensor], Tensor],
        most: int,
    ) -> None:
        self._states = states
        self._deltas = deltas
        self._most = most

    def states(self, drive: Tensor, Wuu: Tensor, u0: Tensor) -> Tensor:
        """See `Loops`."""
        return (self._states if len(Wuu) <= self._most else PLAIN.states)(drive, Wuu, u0)

    def deltas(self, grad: Tensor, states: Tensor, Wuu: Tensor) -> Tensor:
        """See `Loops`."""
        return (self._deltas if len(Wuu) <= self._most else PLAIN.deltas)(grad, states, Wuu)


def settled_loops(device: torch.device) -> Loops:
    """The fused loops if they are there, right and faster than the plain ones, else those; the log says which."""
    try:
        from model.cuda.recurrence import fused_deltas, fused_states  # noqa: PLC0415 (Triton need not be there)
    except ImportError as error:
        logger.info("plain recurrence on %s: %s", device, error)
        return PLAIN
    return tried_loops(lambda most: FusedLoops(fused_states, fused_deltas, most), device)


def tried_loops(make: Callable[[int], Loops], device: torch.device) -> Loops:
    """`settled_loops` for loops that are there, which `make` makes for a number of recurrent units at most."""
    most = 0
    for n in TRIED:
        if why := _fault(make(n), device, n):
            logger.warning("plain recurrence on %s for %d units: the fused one %s", device, n, why)
            break
        most = n
    if not most:
        return PLAIN
    logger.info("fused recurrence on %s for up to %d units", device, most)
    return make(most)


def _fault(loops: Loops, device: torch.device, n: int) -> str:
    """What is wrong with fused loops; nothing if they are right and faster."""
    generator = torch.Generator().manual_seed(0)
    drive, grad = (torch.randn(TRIED_FRAMES, TRIED_SEQUENCES, n, generator=generator).to(device) for _ in range(2))
    Wuu = (0.9 * torch.nn.init.orthogonal_(torch.empty(n, n), generator=generator)).to(device)
    u0 = torch.rand(TRIED_SEQUENCES, n, generator=generator).to(device)

    def both(by: Loops) -> tuple[Tensor, Tensor]:
        states = by.states(drive, Wuu, u0)
        return states, by.deltas(grad, states, Wuu)

    def wrong() -> str:
        for name, found, expected in zip(("states", "gradients"), both(loops), both(PLAIN), strict=True):
            error = ((found - expected).abs().max() / expected.abs().max()).item()
            if not error < CLOSE:
                return f"is wrong: {name} differ by {error:.1e}"
        return ""

    return fault(wrong, lambda: both(loops), lambda: both(PLAIN), device)
