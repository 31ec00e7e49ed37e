"""A long short-term memory (Hochreiter and Schmidhuber 1997) with forget gates, over several sequences side by side.

Gates lie one after another along the last axis, (..., 4 n): input i, forget f, output o, each through a sigmoid, and
the new value z through a tanh. The recurrent state is the pair of

    c_t = f_t c_{t-1} + i_t z_t         u_t = o_t tanh(c_t)

A sequence of the batch may be several pieces one after another: where one begins, the state is set to zero.
"""

from typing import Any

import torch
from torch import Tensor

State = tuple[Tensor, Tensor]
"""u and c, each (B, n)."""


def lstm(drive: Tensor, Wuu: Tensor, going_on: Tensor, state: State) -> tuple[Tensor, State]:
    """All u_t (T, B, n) and the last state, from drive (T, B, 4 n), Wuu (n, 4 n) and going_on (T, B, 1).

    `going_on` is 0 where a piece begins and 1 elsewhere. No gradient flows to the first state.
    """
    u, last_u, last_c = _Lstm.apply(drive, Wuu, going_on, *state)  # type: ignore[no-untyped-call] # apply has no types
    return u, (last_u.detach(), last_c.detach())


class _Lstm(torch.autograd.Function):
    """The loop over time with back-propagation through time written out, a fraction of autograd's cost per step."""

    @staticmethod
    def forward(
        ctx: Any, drive: Tensor, Wuu: Tensor, going_on: Tensor, u0: Tensor, c0: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        n = len(Wuu)
        gates = torch.empty_like(drive)
        states, cells = (torch.empty(len(drive) + 1, *u0.shape, dtype=u0.dtype, device=u0.device) for _ in "uc")
        squashed = torch.empty_like(cells[1:])
        states[0], cells[0] = u0, c0
        for t in range(len(drive)):
            g = torch.addmm(drive[t], states[t] * going_on[t], Wuu, out=gates[t])
            g[:, : 3 * n].sigmoid_()
            g[:, 3 * n :].tanh_()
            i, f, o, z = g.chunk(4, dim=1)
            torch.mul(f, cells[t] * going_on[t], out=cells[t + 1]).addcmul_(i, z)
            torch.mul(o, torch.tanh(cells[t + 1], out=squashed[t]), out=states[t + 1])
        ctx.save_for_backward(gates, states, cells, squashed, Wuu, going_on)
        return states[1:].clone(), states[-1].clone(), cells[-1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gates, states, cells, squashed, Wuu, going_on = ctx.saved_tensors
        grad_u = gradients[0]
        i, f, o, z = gates.chunk(4, dim=2)
        before = states[:-1] * going_on, cells[:-1] * going_on
        slopes = torch.cat([z * i * (1 - i), before[1] * f * (1 - f), squashed * o * (1 - o), i * (1 - z * z)], dim=2)
        to_cell = o * (1 - squashed * squashed)
        forget = f * going_on
        delta = torch.empty_like(gates)
        carried_u, carried_c = torch.zeros_like(states[0]), torch.zeros_like(states[0])
        for t in reversed(range(len(gates))):
            du = grad_u[t] + carried_u
            dc = torch.addcmul(carried_c, du, to_cell[t])
            torch.mul(torch.cat([dc, dc, du, dc], dim=1), slopes[t], out=delta[t])
            carried_u = (delta[t] @ Wuu.T).mul_(going_on[t])
            carried_c = dc * forget[t]
        grad_Wuu = before[0].flatten(0, 1).T @ delta.flatten(0, 1)
        return delta, grad_Wuu, None, None, None
