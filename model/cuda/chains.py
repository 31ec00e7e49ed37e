"""Gibbs chains for a GPU: plain, or fused in one kernel (model/cuda/chain.py) where that is right and faster.

`settle` tries the fused one against the plain one when a worker starts.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from model.cuda.loops import settled_loops
from model.cuda.philox import philox, uniform
from model.cuda.trial import fault
from model.rbm import gibbs_chain
from model.rnn_rbm import PLAIN, Loops

WIDTH = 128
"""Visible units at most, as MIDI has no more notes, and hidden ones of a block; their numbers begin behind those."""
TRIED_HIDDEN = (150, 256, 320, 384)
"""Hidden units that the fused chain is tried with, in order: the recipes', and what each further block has room for."""
TRIED_ROWS, TRIED_FEW, TRIED_STEPS = 65_536, 200, 10
ALIKE = 0.98
"""Share of rows that come out the same, to the unit, where sums are formed in another order."""
SIGMAS = 6.0
"""Standard errors by which a moment may differ: of some 8,000 compared, none does by chance."""

KeyedChain = Callable[[Tensor, Tensor, Tensor, Tensor, int, Tensor, int], Tensor]

logger = logging.getLogger(__name__)


class Chains(Protocol):
    """Advances chains of many rows. v (rows or 1, n_visible), W (n_visible, n_hidden), biases (rows, …)."""

    name: str
    loops: Loops
    """Of the recurrence, which are not the chains', but come with them wherever these are needed."""

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
    n_visible, n_hidden = W.shape
    for step in range(k):
        u = _uniform(keys, step, stream, WIDTH + n_hidden)
        h = (u[:, WIDTH:] * (1 + torch.exp(-bh - v @ W)) < 1).to(W)
        v = (u[:, :n_visible] * (1 + torch.exp(-bv - h @ W.T)) < 1).to(W)
    return v


def _uniform(keys: Tensor, step: int, stream: int, n_units: int) -> Tensor:
    """The random numbers of each row's units in a step, (rows, n_units); a hash gives those of four of 16 units."""
    lower, upper = (keys & 0xFFFFFFFF)[:, None], (keys >> 32 & 0xFFFFFFFF)[:, None]
    places = torch.arange(4 * -(-n_units // 16), device=keys.device)[None]
    words = torch.stack(philox(stream, (torch.full_like(places[:, :1], step), upper, lower, places)), -1)
    of_units = words.reshape(len(keys), places.shape[1] // 4, 4, 2, 2)  # (rows, 16 units, place, j, i), word 2 j + i
    return uniform(of_units.permute(0, 1, 3, 2, 4).flatten(1)[:, :n_units])


class PlainChains:
    """In PyTorch, on any device and of any size."""

    name = "torch"
    loops: Loops = PLAIN

    def __init__(self, loops: Loops = PLAIN) -> None:
        self.loops = loops

    def free(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """See `Chains`."""
        return gibbs_chain(v, W, bv, bh, k, generator)

    def keyed(self, v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int) -> Tensor:
        """See `Chains`."""
        return keyed_chain(v, W, bv, bh, k, keys, stream)


class FusedChains:
    """In one kernel, for RBMs of up to `most_hidden` hidden units; larger ones go the plain way."""

    name = "triton"

    def __init__(self, chain: KeyedChain, most_hidden: int, loops: Loops = PLAIN) -> None:
        self.loops = loops
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
    loops = settled_loops(device)
    try:
        from model.cuda.chain import fused_chain  # noqa: PLC0415 (Triton need not be there)
    except ImportError as error:
        logger.info("plain Gibbs chains on %s: %s", device, error)
        return PlainChains(loops)
    return tried(fused_chain, device, n_rows, loops)


def tried(chain: KeyedChain, device: torch.device, n_rows: int = TRIED_ROWS, loops: Loops = PLAIN) -> Chains:
    """`settle` for a chain that is there."""
    most_hidden = 0
    for n_hidden in TRIED_HIDDEN:
        why = _fault(chain, device, n_hidden, n_rows)
        if why:
            logger.warning("plain Gibbs chains on %s for %d hidden units: the fused one %s", device, n_hidden, why)
            break
        most_hidden = n_hidden
    if not most_hidden:
        return PlainChains(loops)
    logger.info("fused Gibbs chains on %s for up to %d hidden units", device, most_hidden)
    return FusedChains(chain, most_hidden, loops)


def _fault(chain: KeyedChain, device: torch.device, n_hidden: int, n_rows: int) -> str:
    """What is wrong with a fused chain; nothing if it is right and faster."""
    rbm = _trial(device, n_hidden, n_rows)
    keys = torch.randint(2**62, (n_rows,), generator=_generator(device), device=device)

    def fused() -> Tensor:
        return chain(*rbm, TRIED_STEPS, keys, 0)

    def plain() -> Tensor:
        return gibbs_chain(*rbm, TRIED_STEPS, _generator(device))

    def wrong() -> str:
        whole = fused()
        few = chain(rbm[0], rbm[1], rbm[2][:TRIED_FEW], rbm[3][:TRIED_FEW], TRIED_STEPS, keys[:TRIED_FEW], 0)
        if (alike := (few == whole[:TRIED_FEW]).all(1).float().mean().item()) < ALIKE:
            return f"samples few rows otherwise than many: only {alike:.2f} of them are the same"
        difference = _difference(whole, plain())
        right = difference < SIGMAS
        return "" if right else f"samples another distribution: a moment is {difference:.1f} standard errors away"

    return fault(wrong, fused, plain, device)


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
