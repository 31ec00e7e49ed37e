"""The pitch-tied layer: one small network at every key, the same for all, that sees what a context says around it.

    z_k = bconv + sum over planes p and distances d of conv_{p, d} x_{p, k + d}      |d| <= REACH
          (NADE: + sum over d of below_d v_{k - d}, the keys below in the frame itself, d <= BELOW)
    a_k = relu(z_k (1 + scale_t) + shift_t)         b_k = relu(bmix + a_k mix)         bv_t,k += b_k out'

Scale and shift are the frame's, from its recurrent state. So a figure that is learned at one pitch is known at all.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad, relu

from model.kernel import Kernel, check
from model.kernel.gated import TIED, aligned, placed, tied_view
from model.memory import BELOW, REACH


class TiedInput(NamedTuple):
    """What N frames' layers read."""

    planes: Tensor
    """(N, planes, n_visible)."""
    v: Tensor
    """(N, n_visible): the frames themselves."""
    gates: Tensor
    """(N, 2 channels): scale and shift."""
    kept1: Tensor
    """(N, channels): factors of dropout for a."""
    kept2: Tensor
    """(N, channels): and for b."""


def tied(parameters: dict[str, Tensor], given: TiedInput, kernel: Kernel | None) -> Tensor:
    """What the layer adds to the visible biases, (N, n_visible). `parameters`: those of `model.kernel.gated.TIED`."""
    if kernel is None:
        return plain_tied(parameters, given)
    values = [parameters.get(name) for name in TIED]
    out: Tensor = _Compiled.apply(kernel, given, given.gates, *values)  # type: ignore[no-untyped-call] # no types
    return out


def plain_tied(parameters: dict[str, Tensor], given: TiedInput) -> Tensor:
    """See `tied`: the kernel's oracle."""
    p = parameters
    if given.planes.is_cuda:  # also for the way back: a training that goes on is to the bit what it would have been
        torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = True, False
    z = conv1d(given.planes, p["conv"].permute(2, 0, 1).flip(2), p["bconv"], padding=REACH)  # (N, channels, n_visible)
    if "below" in p:
        above = pad(given.v[:, None], (BELOW, 0))[:, :, :-1]
        z = z + conv1d(above, p["below"].T.flip(1)[:, None])
    scale, shift = given.gates[:, :, None].chunk(2, dim=1)
    a = relu(z * (1 + scale) + shift) * given.kept1[:, :, None]
    b = relu(a.transpose(1, 2) @ p["mix"] + p["bmix"]) * given.kept2[:, None]  # (N, n_visible, channels)
    return b @ p["out"]


class _Compiled(torch.autograd.Function):
    """By the compiled kernel, which computes the layers' values again on the way back rather than keep them."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, given: TiedInput, gates: Tensor, *values: Tensor | None) -> Tensor:
        arrays = {
            name: placed(value.detach().numpy()) for name, value in zip(TIED, values, strict=True) if value is not None
        }
        inputs = [placed(part.detach().numpy()) for part in given._replace(gates=gates)]
        out = torch.empty_like(given.v)
        view = tied_view(arrays, given.v.shape[1])
        addresses = [array.ctypes.data for array in inputs]
        check(kernel.functions.tied_forward(view, len(out), *addresses, out.data_ptr()))
        ctx.kernel, ctx.arrays, ctx.inputs = kernel, arrays, inputs
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        grad = gradients[0].contiguous()
        found = {name: aligned(array.shape) for name, array in ctx.arrays.items()}
        grad_gates = aligned(ctx.inputs[2].shape)
        n_visible = grad.shape[1]
        addresses = [array.ctypes.data for array in ctx.inputs]
        done = ctx.kernel.functions.tied_backward(
            tied_view(ctx.arrays, n_visible), len(grad), *addresses, grad.data_ptr(), grad_gates.ctypes.data,
            tied_view(found, n_visible),
        )  # fmt: skip
        check(done)
        values = [torch.from_numpy(found[name]) if name in found else None for name in TIED]
        return None, None, torch.from_numpy(grad_gates), *values
