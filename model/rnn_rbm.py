"""The RNN-RBM: a recurrent network whose state sets the biases of an RBM at every time step.

Boulanger-Lewandowski, Bengio and Vincent, "Modeling Temporal Dependencies in High-Dimensional Sequences"
(ICML 2012), equations 8 to 11, with the parameter names of the deeplearning.net tutorial:

    bv_t = bv + u_{t-1} Wuv         bh_t = bh + u_{t-1} Wuh         p(v_t | v_<t) = RBM(W, bv_t, bh_t)
    u_t  = tanh(bu + v_t Wvu + u_{t-1} Wuu)                         u_0 = 0, or learned

The state depends on the data only, never on samples of the RBM. In training all states are therefore computed
first and one Gibbs chain then runs over all frames at once. Shapes: T frames, B sequences, time first.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.network import Network


class RnnRbmNetwork(Network):
    """The parameters of an RNN-RBM and what follows from them without a random number.

    Initial values are the tutorial's: W ~ N(0, 0.01) and the other matrices ~ N(0, 0.0001), by standard deviation;
    biases are 0.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        n_visible, n_hidden, n_recurrent = config.n_visible, config.n_hidden, config.n_hidden_recurrent

        def normal(rows: int, columns: int, std: float) -> nn.Parameter:
            return nn.Parameter(torch.empty(rows, columns).normal_(0.0, std, generator=generator))

        self.W = normal(n_visible, n_hidden, 0.01)
        self.bv = nn.Parameter(torch.zeros(n_visible))
        self.bh = nn.Parameter(torch.zeros(n_hidden))
        self.Wuh = normal(n_recurrent, n_hidden, 0.0001)
        self.Wuv = normal(n_recurrent, n_visible, 0.0001)
        self.Wvu = normal(n_visible, n_recurrent, 0.0001)
        self.Wuu = normal(n_recurrent, n_recurrent, 0.0001)
        self.bu = nn.Parameter(torch.zeros(n_recurrent))
        if config.learn_u0:
            self.u0 = nn.Parameter(torch.zeros(n_recurrent))

    def initialize_scaled(self, generator: torch.Generator) -> None:
        """Other initial values: a recurrence that remembers, and the tutorial's small W, so that a chain mixes."""
        for parameter, std in ((self.W, 0.01), (self.Wuh, 0.001), (self.Wuv, 0.02), (self.Wvu, 0.1)):
            nn.init.normal_(parameter, std=std, generator=generator)
        nn.init.orthogonal_(self.Wuu, gain=0.9, generator=generator)

    def initial_state(self, n_sequences: int) -> Tensor:
        """u_0, shape (B, n_hidden_recurrent): 0 where it is not learned."""
        if self.config.learn_u0:
            return self.u0.expand(n_sequences, -1)
        return self.bu.new_zeros(n_sequences, self.config.n_hidden_recurrent)

    def conditional_biases(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """bv_t and bh_t from the state u_{t-1}: (..., n_hidden_recurrent) -> (..., n_visible), (..., n_hidden)."""
        return self.bv + u @ self.Wuv, self.bh + u @ self.Wuh

    def next_state(self, v: Tensor, u: Tensor) -> Tensor:
        """u_t from v_t (B, n_visible) and u_{t-1} (B, n_hidden_recurrent)."""
        return torch.tanh(self.bu + v @ self.Wvu + u @ self.Wuu)

    def biases_of(self, v: Tensor, loops: "Loops | None" = None) -> tuple[Tensor, Tensor]:
        """bv_t and bh_t of every frame of v (T, B, n_visible), each set by the frames before it only."""
        u0 = self.initial_state(v.shape[1])
        u = recurrence(self.bu + v @ self.Wvu, self.Wuu, u0, loops)  # (T, B, n_hidden_recurrent)
        u_previous = torch.cat([u0[None], u[:-1]])
        return self.conditional_biases(u_previous)


class Loops(Protocol):
    """The two loops over time of a recurrence: T frames of B sequences, n recurrent units."""

    def states(self, drive: Tensor, Wuu: Tensor, u0: Tensor) -> Tensor:
        """All states u_t = tanh(drive_t + u_{t-1} Wuu): (T, B, n), (n, n), (B, n) -> (T, B, n)."""
        ...

    def deltas(self, grad: Tensor, states: Tensor, Wuu: Tensor) -> Tensor:
        """The gradients of all drive_t from those of the states: (T, B, n), (T, B, n), (n, n) -> (T, B, n)."""
        ...


class PlainLoops:
    """Frame by frame in PyTorch."""

    def states(self, drive: Tensor, Wuu: Tensor, u0: Tensor) -> Tensor:
        """See `Loops`."""
        states = torch.empty_like(drive)
        u = u0
        for t in range(len(drive)):
            u = torch.addmm(drive[t], u, Wuu, out=states[t]).tanh_()
        return states

    def deltas(self, grad: Tensor, states: Tensor, Wuu: Tensor) -> Tensor:
        """See `Loops`."""
        slope = 1 - states * states
        delta = torch.empty_like(states)
        carried = torch.zeros_like(states[0])
        for t in reversed(range(len(states))):
            torch.add(grad[t], carried, out=delta[t]).mul_(slope[t])
            carried = delta[t] @ Wuu.T
        return delta


PLAIN = PlainLoops()


def recurrence(drive: Tensor, Wuu: Tensor, u0: Tensor, loops: Loops | None = None) -> Tensor:
    """All states, as `Loops.states` has them, by the plain loops where no others are given."""
    states: Tensor = _Recurrence.apply(drive, Wuu, u0, loops or PLAIN)  # type: ignore[no-untyped-call] # has no types
    return states


class _Recurrence(torch.autograd.Function):
    """Back-propagation through time written out: a fifth of autograd's cost per step."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, Wuu: Tensor, u0: Tensor, loops: Loops) -> Tensor:
        states = loops.states(drive, Wuu, u0)
        ctx.save_for_backward(states, Wuu, u0)
        ctx.loops = loops
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        states, Wuu, u0 = ctx.saved_tensors
        (grad,) = gradients
        delta = ctx.loops.deltas(grad, states, Wuu)
        previous = torch.cat([u0[None], states[:-1]])
        grad_Wuu = previous.flatten(0, 1).T @ delta.flatten(0, 1)
        return delta, grad_Wuu, delta[0] @ Wuu.T, None
