"""The models with a gated recurrence and a memory of the piece: kinds `lstm-rbm` and `lstm-nade`.

As in the RNN-RBM the state of a recurrence sets the biases of every frame, and the frames before set the state:

    bv_t = bv + u_t Wuv + (pitch-tied layer)        bh_t = bh + u_t Wuh
    u_t  = LSTM(x_t Wvu + s_t Wsu + u_{t-1} Wuu + bu)

Here x_t, planes of keys, and s_t, numbers of the frame as a whole, are the context of frame t: what model.memory knows
from the frames before t. (So u_t is set by the frames before t, where the tutorial's u_t has heard frame t itself.)
Without a memory (`n_channels` = 0) the context is the last frame alone and there is no pitch-tied layer.
p(v_t | v_<t) is an RBM with weights W, or NADE with W and U (model/nade.py). Shapes: T frames, B sequences, time first.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.kernel import Kernel
from model.lstm import State, lstm
from model.memory import HEARD
from model.network import Network
from model.parameters import Array, shapes
from model.tied import TiedInput, tied

FORGET_BIAS = 1.0
SCALES = {"W": 0.01, "U": 0.01, "Wuv": 0.01, "Wuh": 0.01, "Wug": 0.02, "Wsg": 0.02} | dict.fromkeys(
    ("Wvu", "Wsu", "conv", "below", "out"), 0.05
)
"""Standard deviations of first values."""


class Contexts(NamedTuple):
    """What B sequences of T frames are predicted from."""

    planes: Tensor
    """(T, B, N_PLANES, n_visible)."""
    scalars: Tensor
    """(T, B, N_SCALARS)."""
    going_on: Tensor
    """(T, B, 1): 0 where a piece begins, 1 elsewhere."""


class Dropout(NamedTuple):
    """Shares that are left out in training: of what the recurrence hears, of channels, and of u_t's units."""

    heard: float = 0.0
    channels: float = 0.0
    state: float = 0.0


class GatedNetwork(Network):
    """The parameters, by the names and shapes of `model.parameters.shapes`."""

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        for name, shape in shapes(config).items():
            self.register_parameter(name, nn.Parameter(_first_values(name, shape, generator)))
        n = config.n_hidden_recurrent
        self.bu.data[n : 2 * n] = FORGET_BIAS

    W: nn.Parameter
    bv: nn.Parameter
    bh: nn.Parameter
    Wuv: nn.Parameter
    Wuh: nn.Parameter
    Wvu: nn.Parameter
    Wsu: nn.Parameter
    Wuu: nn.Parameter
    bu: nn.Parameter
    Wug: nn.Parameter
    Wsg: nn.Parameter
    bg: nn.Parameter
    U: nn.Parameter

    def initial_state(self, n_sequences: int) -> State:
        """Nothing heard: u and c are 0, (B, n_hidden_recurrent)."""
        zeros = self.bu.new_zeros(2, n_sequences, self.config.n_hidden_recurrent)
        return zeros[0], zeros[1].clone()

    def biases_of(
        self,
        contexts: Contexts,
        v: Tensor,
        state: State,
        kernel: Kernel | None = None,
        shares: Dropout | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """bv_t (T, B, n_visible), bh_t (T, B, n_hidden) and the last state.

        v: (T, B, n_visible), the frames themselves, of which NADE's pitch-tied layer sees the keys below each.
        """
        shares = shares or Dropout()
        heard = HEARD if self.config.n_channels else HEARD[:1]
        x = _dropped(contexts.planes[:, :, list(heard)].flatten(2), shares.heard, generator)
        drive = self.bu + x @ self.Wvu.flatten(0, 1)
        if self.config.n_channels:
            drive = drive + contexts.scalars @ self.Wsu
        u, last = lstm(drive, self.Wuu, contexts.going_on, state)
        u = _dropped(u, shares.state, generator)
        bv, bh = self.bv + u @ self.Wuv, self.bh + u @ self.Wuh
        if self.config.n_channels:
            bv = bv + self._tied(contexts, v, u, kernel, shares.channels, generator)
        return bv, bh, last

    def _tied(
        self,
        contexts: Contexts,
        v: Tensor,
        u: Tensor,
        kernel: Kernel | None,
        share: float,
        generator: torch.Generator | None,
    ) -> Tensor:
        gates = self.bg + u @ self.Wug + contexts.scalars @ self.Wsg
        kept = [_dropped(torch.ones_like(gates.chunk(2, dim=-1)[0]), share, generator).flatten(0, 1) for _ in "ab"]
        given = TiedInput(contexts.planes.flatten(0, 1), v.flatten(0, 1), gates.flatten(0, 1), *kept)
        return tied(dict(self.named_parameters()), given, kernel).view_as(v)


def _dropped(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Numbers without a random share of them, the others as much larger."""
    if not share:
        return x
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= share
    return x * kept / (1 - share)


def _first_values(name: str, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    value = torch.zeros(shape)
    if name == "Wuu":  # each gate's matrix keeps lengths
        parts = [nn.init.orthogonal_(torch.empty(shape[0], shape[0]), gain=0.7, generator=generator) for _ in "ifoz"]
        return torch.cat(parts, dim=1)
    if name == "mix":
        return nn.init.normal_(value, std=shape[0] ** -0.5, generator=generator)
    std = SCALES.get(name)
    return value if std is None else nn.init.normal_(value, std=std, generator=generator)


def context_of(planes: Array, scalars: Array) -> Contexts:
    """The contexts of one whole piece, as the only sequence."""
    going_on = torch.ones(len(planes), 1, 1)
    going_on[:1] = 0
    return Contexts(torch.from_numpy(planes)[:, None], torch.from_numpy(scalars)[:, None], going_on)
