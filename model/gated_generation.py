"""Pieces of the models with a gated recurrence, frame by frame in PyTorch: simple and slow.

For GPUs, for machines without the compiled kernel, and as that kernel's oracle; `model.makers.PieceMaker` says
what its methods do.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from model.gated import Contexts, GatedNetwork
from model.generation import settled
from model.infilling import LogWeights
from model.kernel import STARTS, Clamp, Drawing, Frames, stream_of
from model.lstm import State
from model.memory import Memory
from model.nade import nade_logits
from model.parameters import Parameters
from model.rbm import gibbs_chain

LAST_FRAME, POINTED_FRAME = 0, 2
"""Planes that a chain may start at."""


@dataclass
class _Piece:
    memory: Memory
    state: State


class _Given(NamedTuple):
    """Cells of one frame that are given, (n_visible,) each, and what the others of these cost a chain."""

    kept: NDArray[np.bool_]
    source: NDArray[np.bool_]
    penalties: NDArray[np.float32]


class PlainPieces:
    """One model, ready to hear and to draw frames on any device that PyTorch has."""

    def __init__(self, parameters: Parameters, device: str) -> None:
        self._network = GatedNetwork.from_parameters(parameters).to(device)
        self._config = parameters.config

    def begin(self, n: int, room: int) -> list[_Piece]:  # noqa: ARG002 (a memory grows by itself)
        """`n` pieces of which nothing has been heard."""
        return [_Piece(Memory(self._config.n_visible), self._network.initial_state(1)) for _ in range(n)]

    def copies(self, pieces: list[_Piece], chosen: NDArray[np.intp]) -> list[_Piece]:
        """Those pieces, of which some may be chosen several times."""
        return [deepcopy(pieces[index]) for index in chosen]

    @torch.no_grad()
    def hear(self, piece: list[_Piece], room: int, frames: Frames) -> None:  # noqa: ARG002
        """A piece, the only one, goes on by given frames (frames, n_visible)."""
        for frame in frames:
            _, _, piece[0].state = self._biases(piece[0], self._context(piece[0]), self._silence())
            piece[0].memory.hear(frame)

    @torch.no_grad()
    def generate(
        self, pieces: list[_Piece], room: int, drawing: Drawing, seeds: NDArray[np.uint64], first: int,  # noqa: ARG002
        last: int, clamp: Clamp | None = None,
    ) -> tuple[Frames, LogWeights]:  # fmt: skip
        """Frames `first` to `last` of each piece, and the log probability of what is given to it."""
        rolls = np.empty((len(pieces), last - first, self._config.n_visible), np.bool_)
        log_weights = np.zeros(len(pieces))
        draw = self._nade_frame if self._config.kind == "lstm-nade" else self._rbm_frame
        for i, piece in enumerate(pieces):
            for t in range(last - first):
                given = _Given(clamp.kept[t], clamp.source[t], clamp.penalties) if clamp else self._nothing()
                generator = torch.Generator(self._network.W.device)
                generator.manual_seed(stream_of(int(seeds[i]), first + t) >> 1)  # PyTorch takes 63 bits
                context = self._context(piece)
                rolls[i, t], log_weight = draw(piece, context, drawing, given, generator)
                log_weights[i] += log_weight
                _, _, piece.state = self._biases(piece, context, self._silence())
                piece.memory.hear(rolls[i, t])
        return rolls, log_weights

    def _nothing(self) -> _Given:
        none = np.zeros(self._config.n_visible, np.bool_)
        return _Given(none, none, np.zeros(0, np.float32))

    def _silence(self) -> Tensor:
        return self._network.W.new_zeros(1, self._config.n_visible)

    def _context(self, piece: _Piece) -> Contexts:
        planes, scalars = (torch.from_numpy(part).to(self._network.W)[None, None] for part in piece.memory.context())
        return Contexts(planes, scalars, torch.ones_like(scalars[..., :1]))

    def _biases(self, piece: _Piece, context: Contexts, v: Tensor) -> tuple[Tensor, Tensor, State]:
        """bv (1, n_visible), bh (1, n_hidden) and the state of the next frame; NADE knows v (1, n_visible) of it."""
        bv, bh, state = self._network.biases_of(context, v[None], piece.state)
        return bv[0], bh[0], state

    def _rbm_frame(
        self, piece: _Piece, context: Contexts, drawing: Drawing, given: _Given, generator: torch.Generator
    ) -> tuple[Frames, float]:
        bv, bh, _ = self._biases(piece, context, self._silence())
        W, bv, bh = (x / drawing.temperature for x in (self._network.W, bv, bh))
        v = gibbs_chain(self._start(context, drawing.start), W, bv, bh, drawing.gibbs_steps, generator)
        v, log_weights = settled(v, W, bv, bh, given.kept, given.source, given.penalties, generator)
        return v[0].bool().cpu().numpy(), float(log_weights[0])

    def _start(self, context: Contexts, start: int) -> Tensor:
        if start == STARTS["zeros"]:
            return self._silence()
        pointed = start == STARTS["pointed"] and self._config.n_channels
        return context.planes[0, :, POINTED_FRAME if pointed else LAST_FRAME].clone()

    def _nade_frame(
        self, piece: _Piece, context: Contexts, drawing: Drawing, given: _Given, generator: torch.Generator
    ) -> tuple[Frames, float]:
        """Key by key: what the keys above know changes where one sounds."""
        v, logits = self._silence(), self._logits(piece, context, self._silence()) / drawing.temperature
        uniforms = torch.rand(len(logits), generator=generator, device=v.device)
        log_weight = 0.0
        for key in range(len(logits)):
            sounds = bool(uniforms[key] < torch.sigmoid(logits[key]))
            if given.kept[key]:
                sounds = bool(given.source[key])
                log_weight += float(logsigmoid(logits[key] if sounds else -logits[key]))
            if sounds:
                v[0, key] = 1
                logits = self._logits(piece, context, v) / drawing.temperature
        return v[0].bool().cpu().numpy(), log_weight

    def _logits(self, piece: _Piece, context: Contexts, v: Tensor) -> Tensor:
        bv, bh, _ = self._biases(piece, context, v)
        return nade_logits(v, self._network.W, self._network.U, bv, bh)[0]
