"""Gibbs chains for a GPU: plain, or fused in one kernel (model/cuda/chain.py) where that is right and faster.

`settle` tries the fused one against the plain one when a worker starts.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from model.cuda.philox import philox, uniform
from model.rbm import gibbs_chain

WIDTH = 128
"""Units of a block; MIDI has no more notes."""
HIDDEN_BLOCKS = 3
"""That share one hash with the visible units."""
TRIED_HIDDEN = (150, 3 * WIDTH)
"""Hidden units that the fused chain is tried with, in order: the recipes', and as many as it can have."""
TRIED_ROWS, TRIED_STEPS = 65_536, 10
SIGMAS = 6.0
"""Standard errors by which a moment may differ: of some 8,000 compared, none does by chance."""
TIMES = 5

KeyedChain = Callable[[Tensor, Tensor, Tensor, Tensor, int, Tensor, int], Tensor]

logger = logging.getLogger(__name__)


class Chains(Protocol):
    """Advances chains of many rows. v (rows or 1, n_visible), W (n_visible, n_hidden), biases (rows, …)."""

    name: str

    def free(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """As `model.rbm.gibbs_chain`, with whatever random numbers are the fastest."""
        ...

    def keyed(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int) -> Tensor:
        """As `keyed_chain`."""
        ...


@torch.no_grad()
def keyed_chain(v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int = 0) -> Tensor:
    """The visible units (rows, n_visible) after k steps of chains from `v`; each row has its own random numbers.

    They depend on the row's key (rows,), int64, and on `stream`, from 0 to 2^31 - 1, and on nothing else.
    """
    lower, upper = (keys & 0xFFFFFFFF)[:, None], (keys >> 32 & 0xFFFFFFFF)[:, None]
    n_visible, n_hidden = W.shape
    n_units = WIDTH * -(-n_hidden // (WIDTH * HIDDEN_BLOCKS))
    units = torch.arange(n_units, device=W.device)[None]
    for step in range(k):
        visible, *hidden = map(uniform, philox(stream, (units, torch.full_like(units, step), lower, upper)))
        places = torch.stack(hidden, 1).reshape(len(keys), HIDDEN_BLOCKS, -1, WIDTH)  # (rows, block, group, WIDTH)
        u = places.transpose(1, 2).flatten(1)[:, :n_hidden]
        h = (u * (1 + torch.exp(-bh - v @ W)) < 1).to(W)
        v = (visible[:, :n_visible] * (1 + torch.exp(-bv - h @ W.T)) < 1).to(W)
    return v


class PlainChains:
    """In PyTorch, on any device and of any size."""

    name = "torch"

    def free(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """See `Chains`."""
        return gibbs_chain(v, W, bv, bh, k, generator)

    def keyed(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int) -> Tensor:
        """See `Chains`."""
        return keyed_chain(v, W, bv, bh, k, keys, stream)


class FusedChains:
    """In one kernel, for RBMs of up to `most_hidden` hidden units; larger ones go the plain way."""

    name = "triton"

    def __init__(self, chain: KeyedChain, most_hidden: int) -> None:
        self._chain = chain
        self._most_hidden = most_hidden
        self._plain = PlainChains()

    @torch.no_grad()
    def free(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """See `Chains`."""
        if W.shape[1] > self._most_hidden:
            return self._plain.free(v, W, bv, bh, k, generator)
        keys = torch.randint(2**62, (len(bv),), generator=generator, device=W.device)
        return self._chain(v, W, bv, bh, k, keys, 0)

    @torch.no_grad()
    def keyed(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int) -> Tensor:
        """See `Chains`."""
        if W.shape[1] > self._most_hidden:
            return self._plain.keyed(v, W, bv, bh, k, keys, stream)
        return self._chain(v, W, bv, bh, k, keys, stream)


def settle(device: torch.device, *, n_rows: int = TRIED_ROWS) -> Chains:
    """The fused chain if it is there, right and faster than the plain one, else that; the log says which and why."""
    try:
        from model.cuda.chain import fused_chain  # noqa: PLC0415 (Triton need not be there)
    except ImportError as error:
        logger.info("plain Gibbs chains on %s: %s", device, error)
        return PlainChains()
    return tried(fused_chain, device, n_rows)


def tried(chain: KeyedChain, device: torch.device, n_rows: int = TRIED_ROWS) -> Chains:
    """`settle` for a chain that is there."""
    most_hidden = 0
    for n_hidden in TRIED_HIDDEN:
        why = _fault(chain, device, n_hidden, n_rows)
        if why:
            logger.warning("plain Gibbs chains on %s for %d hidden units: the fused one %s", device, n_hidden, why)
            break
        most_hidden = WIDTH * -(-n_hidden // WIDTH)  # as many as its blocks have room for
    if not most_hidden:
        return PlainChains()
    logger.info("fused Gibbs chains on %s for up to %d hidden units", device, most_hidden)
    return FusedChains(chain, most_hidden)


def _fault(chain: KeyedChain, device: torch.device, n_hidden: int, n_rows: int) -> str:
    """What is wrong with a fused chain; nothing if it is right and faster."""
    rbm = _trial(device, n_hidden, n_rows)
    keys = torch.randint(2**62, (n_rows,), generator=_generator(device), device=device)

    def fused() -> Tensor:
        return chain(*rbm, TRIED_STEPS, keys, 0)

    def plain() -> Tensor:
        return gibbs_chain(*rbm, TRIED_STEPS, _generator(device))

    try:
        difference = _difference(fused(), plain())
        if not difference < SIGMAS:
            return f"samples another distribution: a moment is {difference:.1f} standard errors away"
        seconds = [_seconds(work, device) for work in (fused, plain)]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return f"does not run: {type(error).__name__}: {error}"
    return (
        ""
        if seconds[0] < seconds[1]
        else "takes {:.2f} ms and the plain one {:.2f}".format(*(1e3 * s for s in seconds))
    )


def _generator(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(1)


def _trial(device: torch.device, n_hidden: int, n_rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Start, weights and biases of an RBM of 88 keys whose rows differ in their biases."""
    generator = torch.Generator().manual_seed(0)
    W = 0.2 * torch.randn(88, n_hidden, generator=generator)
    shift = torch.linspace(-1, 1, n_rows)[:, None]
    bv = torch.randn(88, generator=generator) - 1.5 + shift
    bh = torch.randn(n_hidden, generator=generator) - shift
    return torch.zeros(1, 88, device=device), W.to(device), bv.to(device), bh.to(device)


def _difference(a: Tensor, b: Tensor) -> float:
    """The largest difference of means and second moments of two samples (rows, units), in standard errors of it."""
    a, b = a.double(), b.double()
    moments = [(x.T @ x / len(x)) for x in (a, b)]
    p = (moments[0] + moments[1]) / 2
    errors = (2 * (p * (1 - p)).clamp(min=1e-4) / len(a)).sqrt()
    return ((moments[0] - moments[1]).abs() / errors).max().item()


def _seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    """The shortest of some times, the work on the device done."""
    best = float("inf")
    for _ in range(TIMES):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best
