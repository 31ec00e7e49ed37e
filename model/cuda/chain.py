"""The Gibbs chain as one Triton kernel: W stays on the chip, biases are read once, k steps run inside.

A program advances `ROWS` chains. Units lie in blocks of `WIDTH`, one of visible and up to three of hidden units,
filled up with units whose bias of -1e9 keeps them off. h and v are 0 or 1, exact in 16 bits; W is the sum of two
float16 parts, 22 bits of it, so that the matrix units lose nothing that matters. Random numbers are Philox's: one hash
gives a place in each of the four blocks its word. A unit is on if u (1 + exp(-a)) < 1, which is u < sigmoid(a) without
a division.

`keyed_chain` in model/cuda/chains.py does the same in plain PyTorch, number for number.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from model.cuda.chains import WIDTH

OFF = tl.constexpr(-1e9)
ROWS, WARPS = 64, 8
"""Of a program. By the compiler's report for an H100 (compute capability 9.0) at 88 x 150 units: 180 KiB of shared
memory, W's among them, and one register in ten of a step spilled; 32 rows, or 16 warps, were worse."""


@triton.jit
def _on(words, activation):
    """Which units are on, as float16."""
    u = (words >> 9).to(tl.float32) * 1.1920928955078125e-07 + 5.9604644775390625e-08
    return (u * (1.0 + tl.exp(-activation)) < 1.0).to(tl.float16)


@triton.jit
def _weights(weights, first, n_visible, n_hidden, WIDTH: tl.constexpr):
    """Columns `first` to `first` + WIDTH of W in two parts of 16 bits, each (WIDTH, WIDTH)."""
    i, j = tl.arange(0, WIDTH)[:, None], first + tl.arange(0, WIDTH)[None, :]
    W = tl.load(weights + i * n_hidden + j, mask=(i < n_visible) & (j < n_hidden), other=0.0)
    high = W.to(tl.float16)
    return high, (W - high.to(tl.float32)).to(tl.float16)


@triton.jit
def _biases(biases, rows, inside, first, n_units, WIDTH: tl.constexpr):
    """Biases of units `first` to `first` + WIDTH, (rows, WIDTH), and those of units that are not there."""
    j = first + tl.arange(0, WIDTH)[None, :]
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
    WIDTH: tl.constexpr,
):
    """k steps of chains `v_in` (n_rows, n_visible), float32, each with its key (n_rows,), int64, into `v_out`."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < n_rows
    i = tl.arange(0, WIDTH)[None, :]
    at = rows[:, None].to(tl.int64) * n_visible + i
    are_visible = inside[:, None] & (i < n_visible)

    high0, low0 = _weights(weights, 0, n_visible, n_hidden, WIDTH)
    bh0 = _biases(hidden_biases, rows, inside, 0, n_hidden, WIDTH)
    if n_hidden > WIDTH:
        high1, low1 = _weights(weights, WIDTH, n_visible, n_hidden, WIDTH)
        bh1 = _biases(hidden_biases, rows, inside, WIDTH, n_hidden, WIDTH)
    if n_hidden > 2 * WIDTH:
        high2, low2 = _weights(weights, 2 * WIDTH, n_visible, n_hidden, WIDTH)
        bh2 = _biases(hidden_biases, rows, inside, 2 * WIDTH, n_hidden, WIDTH)
    bv = _biases(visible_biases, rows, inside, 0, n_visible, WIDTH)
    v = tl.load(v_in + at, mask=are_visible, other=0.0).to(tl.float16)

    key = tl.load(keys + rows, mask=inside, other=0)[:, None] + tl.zeros((ROWS, WIDTH), tl.int64)
    lower, upper = (key & 0xFFFFFFFF).to(tl.uint32), (key >> 32).to(tl.uint32)
    units = i.to(tl.uint32) + 0 * lower
    for step in range(k):
        words_v, words0, words1, words2 = tl.philox(stream, units, (0 * lower + step).to(tl.uint32), lower, upper)
        h = _on(words0, tl.dot(v, low0, tl.dot(v, high0, bh0)))
        activation = tl.dot(h, tl.trans(low0), tl.dot(h, tl.trans(high0), bv))
        if n_hidden > WIDTH:
            h = _on(words1, tl.dot(v, low1, tl.dot(v, high1, bh1)))
            activation = tl.dot(h, tl.trans(low1), tl.dot(h, tl.trans(high1), activation))
        if n_hidden > 2 * WIDTH:
            h = _on(words2, tl.dot(v, low2, tl.dot(v, high2, bh2)))
            activation = tl.dot(h, tl.trans(low2), tl.dot(h, tl.trans(high2), activation))
        v = _on(words_v, activation)
    tl.store(v_out + at, v.to(tl.float32), mask=are_visible)


def fused_chain(
    v: Tensor,
    W: Tensor,
    bv: Tensor,
    bh: Tensor,
    k: int,
    keys: Tensor,
    stream: int = 0,
    *,
    rows: int = ROWS,
    width: int = WIDTH,
) -> Tensor:
    """See `model.cuda.chains.keyed_chain`; for one block of visible units and three of hidden ones at most.

    With blocks of another width the random numbers are others.
    """
    n_visible, n_hidden = W.shape
    n_rows = len(bv)
    start = v.expand(n_rows, n_visible).contiguous()
    out = torch.empty_like(start)
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
        width,
        num_warps=WARPS,
    )
    return out
