"""The Gibbs chain as one Triton kernel: W stays on the chip, k steps run inside.

A program advances some rows. Units lie in blocks, one of visible and up to three of hidden ones, as narrow as their
number allows, filled up with units whose bias of -1e9 keeps them off. h and v are 0 or 1, exact in 16 bits; W is the
sum of two float16 parts, 22 bits of it, so that the matrix units lose nothing that matters. Random numbers are
Philox's, each hash giving those of four units. A unit is on if u (1 + exp(-a)) < 1, which is u < sigmoid(a) without
a division.

`keyed_chain` in model/cuda/chains.py does the same in plain PyTorch, number for number.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from model.cuda.chains import WIDTH
from model.cuda.philox import MULTIPLIERS

OFF = tl.constexpr(-1e9)
HIDDEN = tl.constexpr(WIDTH)
"""The number of the first hidden unit, as random numbers are counted; the visible ones come before."""
FACTOR0, FACTOR2 = tl.constexpr(MULTIPLIERS[0]), tl.constexpr(MULTIPLIERS[1])
NARROWEST = 16
"""Units of a block at least, as matrix units have it."""
MANY, FEW = (64, 4), (16, 4)
"""Rows and warps of a program: where there are enough rows to fill the card, and where each has to end soon."""
FEW_CELLS = 128 * 192
"""Of W in its blocks at most for programs of few rows: they keep it in the orders of both products."""


@triton.jit
def _uniform_words(stream, step, lower, upper, FIRST: tl.constexpr, UNITS: tl.constexpr):
    """A word of 32 bits, uint32, for each unit from number `FIRST` on and each row's key: (rows, UNITS).

    Unit n has word (n & 1) + 2 (n >> 3 & 1) of place 4 (n >> 4) + (n >> 1 & 3): those of a place belong to one thread,
    as the matrix units lay out what they return. With the step first in the counter and the place last, most of two
    rounds is the same for a row or a column, and nothing but that is the same in all steps and kept for them.
    """
    ROWS: tl.constexpr = lower.shape[0]
    c3 = (tl.arange(0, UNITS // 4) + FIRST // 4)[None, :].to(tl.uint32)
    c0, c1, c2 = (0 * stream + step).to(tl.uint32), upper[:, None], lower[:, None]
    k0, k1 = stream.to(tl.uint32), (0 * stream).to(tl.uint32)
    for _ in tl.static_range(10):
        high0, high2 = tl.umulhi(c0, FACTOR0), tl.umulhi(c2, FACTOR2)
        c1, c3, c0, c2 = c2 * FACTOR2, c0 * FACTOR0, high2 ^ c1 ^ k0, high0 ^ c3 ^ k1
        k0, k1 = k0 + 0x9E3779B9, k1 + 0xBB67AE85
    words = tl.join(tl.join(c0, c1), tl.join(c2, c3))  # (rows, places, 2, 2), word i + 2 j
    return words.reshape((ROWS, UNITS // 16, 4, 2, 2)).permute((0, 1, 4, 2, 3)).reshape((ROWS, UNITS))


@triton.jit
def _on(words, activation):
    """Which units are on, as float16."""
    # 23 bits behind the point of a number from 1 to 2; less 1 - 2^-24 it is the middle of one of 2^23 intervals
    u = ((words >> 9) | 0x3F800000).to(tl.float32, bitcast=True) - 0.999999940395355224609375
    return (u * (1.0 + tl.exp2(activation * -1.4426950408889634)) < 1.0).to(tl.float16)


@triton.jit
def _weights(weights, first, n_visible, n_hidden, VISIBLE: tl.constexpr, UNITS: tl.constexpr):
    """Columns `first` to `first` + UNITS of W in two parts of 16 bits, each (VISIBLE, UNITS)."""
    i, j = tl.arange(0, VISIBLE)[:, None], first + tl.arange(0, UNITS)[None, :]
    W = tl.load(weights + i * n_hidden + j, mask=(i < n_visible) & (j < n_hidden), other=0.0)
    high = W.to(tl.float16)
    return high, (W - high.to(tl.float32)).to(tl.float16)


@triton.jit
def _biases(biases, rows, inside, first, n_units, UNITS: tl.constexpr):
    """Biases of units `first` to `first` + UNITS, (rows, UNITS), and those of units that are not there."""
    j = first + tl.arange(0, UNITS)[None, :]
    at = rows[:, None].to(tl.int64) * n_units + j
    return tl.load(biases + at, mask=inside[:, None] & (j < n_units), other=OFF)


@triton.jit(do_not_specialize=["stream", "n_rows", "k"])
def chain_kernel(
    v_in,
    v_out,
    weights,
    visible_biases,
    hidden_biases,
    keys,
    stream,
    n_rows,
    k,
    n_visible: tl.constexpr,
    n_hidden: tl.constexpr,
    ROWS: tl.constexpr,
    VISIBLE: tl.constexpr,
    HIDDEN0: tl.constexpr,
    HIDDEN1: tl.constexpr,
    HIDDEN2: tl.constexpr,
):
    """k steps of chains `v_in` (n_rows, n_visible), float32, each with its key (n_rows,), int64, into `v_out`.

    In capitals: rows of a program, and units of each block, 0 for a block that is not needed.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < n_rows
    i = tl.arange(0, VISIBLE)[None, :]
    at = rows[:, None].to(tl.int64) * n_visible + i
    are_visible = inside[:, None] & (i < n_visible)

    high0, low0 = _weights(weights, 0, n_visible, n_hidden, VISIBLE, HIDDEN0)
    bh0 = _biases(hidden_biases, rows, inside, 0, n_hidden, HIDDEN0)
    if HIDDEN1 > 0:
        high1, low1 = _weights(weights, HIDDEN0, n_visible, n_hidden, VISIBLE, HIDDEN1)
        bh1 = _biases(hidden_biases, rows, inside, HIDDEN0, n_hidden, HIDDEN1)
    if HIDDEN2 > 0:
        high2, low2 = _weights(weights, HIDDEN0 + HIDDEN1, n_visible, n_hidden, VISIBLE, HIDDEN2)
        bh2 = _biases(hidden_biases, rows, inside, HIDDEN0 + HIDDEN1, n_hidden, HIDDEN2)
    bv = _biases(visible_biases, rows, inside, 0, n_visible, VISIBLE)
    v = tl.load(v_in + at, mask=are_visible, other=0.0).to(tl.float16)

    key = tl.load(keys + rows, mask=inside, other=0)
    lower, upper = (key & 0xFFFFFFFF).to(tl.uint32), (key >> 32).to(tl.uint32)
    for step in range(k):
        words = _uniform_words(stream, step, lower, upper, HIDDEN, HIDDEN0)
        h = _on(words, tl.dot(v, low0, tl.dot(v, high0, bh0)))
        activation = tl.dot(h, tl.trans(low0), tl.dot(h, tl.trans(high0), bv))
        if HIDDEN1 > 0:
            words = _uniform_words(stream, step, lower, upper, HIDDEN + HIDDEN0, HIDDEN1)
            h = _on(words, tl.dot(v, low1, tl.dot(v, high1, bh1)))
            activation = tl.dot(h, tl.trans(low1), tl.dot(h, tl.trans(high1), activation))
        if HIDDEN2 > 0:
            words = _uniform_words(stream, step, lower, upper, HIDDEN + HIDDEN0 + HIDDEN1, HIDDEN2)
            h = _on(words, tl.dot(v, low2, tl.dot(v, high2, bh2)))
            activation = tl.dot(h, tl.trans(low2), tl.dot(h, tl.trans(high2), activation))
        v = _on(_uniform_words(stream, step, lower, upper, 0, VISIBLE), activation)
    tl.store(v_out + at, v.to(tl.float32), mask=are_visible)


def blocks(n_visible: int, n_hidden: int) -> tuple[int, int, int, int]:
    """How wide the block of visible units is and those of hidden units are, 0 for those that are not needed."""
    rest = [n_visible, *(n_hidden - first for first in (0, WIDTH, 2 * WIDTH))]
    widths = [max(NARROWEST, triton.next_power_of_2(min(n, WIDTH))) if n > 0 else 0 for n in rest]
    return widths[0], widths[1], widths[2], widths[3]


def program(n_rows: int, visible: int, hidden: int, device: torch.device) -> tuple[int, int]:
    """Rows and warps of a program, for blocks of so many units: few rows where the card has room for all at once."""
    if device.type != "cuda" or visible * hidden > FEW_CELLS:
        return MANY
    at_once = FEW[0] * torch.cuda.get_device_properties(device).multi_processor_count
    return FEW if n_rows <= at_once else MANY


def fused_chain(
    v: Tensor, W: Tensor, bv: Tensor, bh: Tensor, k: int, keys: Tensor, stream: int = 0, *, rows: int | None = None
) -> Tensor:
    """See `model.cuda.chains.keyed_chain`; for one block of visible units and three of hidden ones at most.

    `rows` of a program are chosen where they are not given.
    """
    n_visible, n_hidden = W.shape
    n_rows = len(bv)
    start = v.expand(n_rows, n_visible).contiguous()
    out = torch.empty_like(start)
    visible, *hidden = blocks(n_visible, n_hidden)
    most, warps = program(n_rows, visible, sum(hidden), W.device)
    rows = rows or most
    chain_kernel[(triton.cdiv(n_rows, rows),)](
        start,
        out,
        W.contiguous(),
        bv.contiguous(),
        bh.contiguous(),
        keys,
        stream,
        n_rows,
        k,
        n_visible,
        n_hidden,
        rows,
        visible,
        *hidden,
        num_warps=warps,
    )
    return out
