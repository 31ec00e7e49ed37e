"""The recurrence as one Triton kernel: all frames of a sequence in one program, forward or backward.

Both are a vector that is multiplied by one matrix frame after frame, so that they are one kernel:

    forward    u_t = tanh(drive_t + u_{t-1} Wuu)
    backward   delta_t = (grad_t + delta_{t+1} Wuu') (1 - u_t u_t)

The sums are formed in float32, without the matrix units. Wuu is kept in registers as far as there is room for it; what
is left of a large one is read anew in every frame, from the cache of the multiprocessor. `PlainLoops` in
model/rnn_rbm.py does the same in PyTorch.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

KEPT = 128
"""Units up to which a program keeps all of the matrix, a column a thread; of a wider one it keeps three quarters."""
SUMS = 4
"""In which a thread forms that of its column."""
LEAST = 16
"""Units that a program counts with at least."""
POINTERS = ("inputs", "states", "matrix", "first", "out")
"""Of which Triton is not to know that they are aligned: it would give a thread four columns and spread their sums."""


@triton.jit
def _tanh(a):
    """Of float32; near 0 by its series, as the difference there would lose digits."""
    square = a * a
    series = a * (1 + square * (-1 / 3 + square * (2 / 15 - square * (17 / 315))))
    return tl.where(tl.abs(a) < 0.2, series, 1 - 2 / (1 + tl.exp(2 * tl.minimum(a, 40.0))))  # 1 from 10 on


@triton.jit
def _matrix(matrix, first, n, ROWS: tl.constexpr, UNITS: tl.constexpr):
    """Rows `first` to `first` + ROWS of a matrix (n, n), 0 where there are none: (ROWS, UNITS)."""
    i, j = first + tl.arange(0, ROWS)[:, None], tl.arange(0, UNITS)[None, :]
    return tl.load(matrix + i * n + j, mask=(i < n) & (j < n), other=0.0)


@triton.jit
def _times(x, matrix, SUMS: tl.constexpr):
    """The product of a vector (rows,) with a matrix (rows, units): several sums, so that none waits for itself."""
    ROWS: tl.constexpr = matrix.shape[0]
    UNITS: tl.constexpr = matrix.shape[1]
    products = (x[:, None] * matrix).reshape((SUMS, ROWS // SUMS, UNITS))
    return tl.sum(tl.sum(products, axis=1), axis=0)


@triton.jit
def _halves(x):
    """The first half of a vector and the second."""
    HALF: tl.constexpr = x.shape[0] // 2
    return tl.split(tl.trans(x.reshape((2, HALF))))


@triton.jit(do_not_specialize=["n_times", "n_sequences"], do_not_specialize_on_alignment=POINTERS)
def loop_kernel(
    inputs,
    states,
    matrix,
    first,
    out,
    n_times,
    n_sequences,
    n: tl.constexpr,
    UNITS: tl.constexpr,
    KEPT: tl.constexpr,
    SUMS: tl.constexpr,
    BACKWARD: tl.constexpr,
):
    """`inputs`, `states` (for the way back) and `out` (n_times, n_sequences, n), `first` (n_sequences, n).

    What comes before the first frame in the order of the loop is `first`.
    """
    j = tl.arange(0, UNITS)
    inside = j < n
    stride = n_sequences * n
    begin = tl.program_id(0).to(tl.int64) * n
    at = begin
    if BACKWARD:
        at += (n_times - 1).to(tl.int64) * stride
        stride = -stride
    if UNITS <= KEPT:
        kept = _matrix(matrix, 0, n, UNITS, UNITS)
    else:
        kept = _matrix(matrix, 0, n, UNITS // 2, UNITS)
        kept_too = _matrix(matrix, UNITS // 2, n, UNITS // 4, UNITS)
    x = tl.load(first + begin + j, mask=inside, other=0.0)
    next_input = tl.load(inputs + at + j, mask=inside, other=0.0)
    if BACKWARD:
        next_u = tl.load(states + at + j, mask=inside, other=0.0)
    for frame in range(n_times):
        a = next_input
        there = inside & (frame + 1 < n_times)  # read ahead, as memory is slower than a frame
        next_input = tl.load(inputs + at + stride + j, mask=there, other=0.0)
        if BACKWARD:
            u = next_u
            next_u = tl.load(states + at + stride + j, mask=there, other=0.0)
        if UNITS <= KEPT:
            a += _times(x, kept, SUMS)
        else:
            half, other_half = _halves(x)
            third, fourth = _halves(other_half)
            a += _times(half, kept, SUMS) + _times(third, kept_too, SUMS)
            a += _times(fourth, _matrix(matrix, 3 * UNITS // 4, n, UNITS // 4, UNITS), SUMS)
        x = a * (1 - u * u) if BACKWARD else _tanh(a)
        tl.store(out + at + j, x, mask=inside)
        at += stride


def _loop(inputs: Tensor, states: Tensor, matrix: Tensor, first: Tensor, *, backward: bool) -> Tensor:
    """See `loop_kernel`."""
    n_times, n_sequences, n = inputs.shape
    out = torch.empty_like(inputs)
    units = max(LEAST, triton.next_power_of_2(n))
    arguments = inputs, states, matrix, first, out, n_times, n_sequences, n, units, KEPT, SUMS, backward
    loop_kernel[(n_sequences,)](*arguments, num_warps=max(1, units // 32))
    return out


def fused_states(drive: Tensor, Wuu: Tensor, u0: Tensor) -> Tensor:
    """See `model.rnn_rbm.Loops.states`."""
    drive = drive.contiguous()
    return _loop(drive, drive, Wuu.contiguous(), u0.contiguous(), backward=False)


def fused_deltas(grad: Tensor, states: Tensor, Wuu: Tensor) -> Tensor:
    """See `model.rnn_rbm.Loops.deltas`."""
    return _loop(grad.contiguous(), states, Wuu.T.contiguous(), torch.zeros_like(grad[0]), backward=True)
