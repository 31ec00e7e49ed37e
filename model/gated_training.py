"""What the training of a model with a gated recurrence asks of it: see `model.task.Task`.

The sequences of an update go on where those of the one before stopped, with the recurrence's state, and a piece's
memory is of the whole piece up to each frame. NADE's cost is the negative log-likelihood; an RBM's is that of
contrastive divergence, with one Gibbs chain for each frame. NADE may have teachers besides (model/distillation.py).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from model.batches import Batch, streams
from model.conditionals import conditionals, log_probabilities
from model.config import TrainingConfig
from model.corpus import PackedRolls
from model.distillation import Teachers
from model.drawing import BEST_START, BEST_STEPS
from model.errors import ConfigError
from model.gated import Contexts, Dropout, GatedNetwork
from model.gated_generation import PlainPieces
from model.gradients import Gradients, Position
from model.kernel import STARTS, Drawing, Kernel, stream_of
from model.kernel.gated import GatedPieces
from model.kernel.gated import contexts as compiled_contexts
from model.lstm import State
from model.makers import PieceMaker
from model.memory import MOVED, contexts
from model.nade import nade_logits
from model.parameters import Array, Parameters
from model.pianoroll import Roll
from model.rbm import contrastive_divergence, gibbs_chain, pseudo_log_likelihood
from model.rbm_pretraining import pretrain_rbm
from model.slips import with_slips
from model.task import beginnings, rough_log_likelihood, set_key_frequencies
from model.training_set import Excerpt, TrainingSet

PLAYER = "player."
"""Before the names of the parameters, of the epoch's beginning, that play along in it."""


class GatedTask:
    """See `model.task.Task`."""

    def __init__(
        self,
        network: GatedNetwork,
        generator: torch.Generator,
        kernel: Kernel | None,
        config: TrainingConfig,
        teachers: Sequence[Parameters] = (),
    ) -> None:
        self._network = network
        self._teachers = Teachers(teachers, network.W.device, kernel)
        self._generator = generator
        self._kernel = kernel
        self._config = config
        if config.pretraining:
            raise ConfigError("the recurrence of an lstm is not trained alone at first: pretraining is 0")
        self.carried = self._at_the_beginning()

    def prepare(self, training: TrainingSet, should_stop: Callable[[], bool]) -> bool:
        """See `model.task.Task`."""
        if self._config.initialization != "model":
            set_key_frequencies(self._network, training)
        if self._network.config.kind == "lstm-nade":
            return True
        return pretrain_rbm(self._network, training, self._config, self._kernel, should_stop)

    def batches(self, training: TrainingSet, epoch: int) -> list[Batch]:
        """See `model.task.Task`."""
        return streams(training, self._config, epoch)

    @contextmanager
    def gradients(self, training: TrainingSet) -> Iterator[Gradients]:
        """See `model.task.Task`."""
        heard = _Heard(training, self._kernel, self._config)
        begun = -1

        def compute(batch: Batch, position: Position) -> tuple[float, float]:
            nonlocal begun
            if position.update == 0:
                self.carried = self._at_the_beginning()
            if position.epoch != begun:
                begun = position.epoch
                heard.begin(begun, self._player() if self._config.slips and begun else None)
            return self._compute(heard(batch), position)

        yield compute

    def _at_the_beginning(self) -> dict[str, Tensor]:
        """Of an epoch: no state, and the parameters that play along in it."""
        played = self._network.named_parameters() if self._config.slips else ()
        copies = {PLAYER + name: value.detach().clone() for name, value in played}
        n = self._config.n_parallel
        return copies | self._teachers.begin(n) | _named(self._network.initial_state(n))

    def _player(self) -> Parameters:
        arrays = {name: self.carried[PLAYER + name].cpu().numpy() for name, _ in self._network.named_parameters()}
        return Parameters(self._network.config, arrays)

    def measure(self, rolls: PackedRolls, epoch: int) -> dict[str, float]:  # noqa: ARG002 (the same in all epochs)
        """See `model.task.Task`: the updates have all that there is."""
        return {}

    def score(self, rolls: PackedRolls) -> float:
        """The log-likelihood: exact by NADE, and rough by an RBM."""
        parameters, pieces = self._network.to_parameters(), beginnings(rolls)
        if self._network.config.kind == "lstm-nade":
            return float(log_probabilities(parameters, pieces, self._kernel).mean())
        c = conditionals(parameters, pieces, self._kernel)
        return rough_log_likelihood(c, str(self._network.W.device), self._kernel)

    def _compute(self, given: tuple[Contexts, Tensor], position: Position) -> tuple[float, float]:
        """Gradients on contexts and frames v (T, B, n_visible); cost and monitor."""
        network, config, (context, v) = self._network, self._config, given
        shares = Dropout(config.input_dropout, config.channel_dropout, config.state_dropout)
        device = network.W.device
        context, v = Contexts(*(part.to(device) for part in context)), v.to(device)
        state = self.carried["u"], self.carried["c"]
        bv, bh, last = network.biases_of(context, v, state, self._kernel, shares, self._generator)
        self.carried |= _named(last)
        taught = self._teachers.predict(context, v, self.carried) if self._teachers else None
        cost, monitor = self._cost(v.flatten(0, 1), bv.flatten(0, 1), bh.flatten(0, 1), position, taught)
        network.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        return cost.item(), monitor

    def _cost(
        self, v: Tensor, bv: Tensor, bh: Tensor, position: Position, taught: Tensor | None
    ) -> tuple[Tensor, float]:
        """Cost and monitor of frames v (N, n_visible): the log-likelihood, or the tutorial's."""
        network = self._network
        if network.config.kind == "lstm-nade":
            logits = nade_logits(v, network.W, network.U, bv, bh)
            cost = _cross_entropy(logits, v)
            if taught is None:
                return cost, -cost.item()
            return _cross_entropy(logits, torch.lerp(v, taught, self._config.distillation)), -cost.item()
        v_sample = self._negative(v, bv.detach(), bh.detach(), position)
        cost = contrastive_divergence(v, v_sample, network.W, bv, bh).mean()
        monitor = pseudo_log_likelihood(v, v_sample, network.W, bv, bh, self._generator).mean()
        return cost, monitor.item()

    def _negative(self, v: Tensor, bv: Tensor, bh: Tensor, position: Position) -> Tensor:
        """Where each frame's Gibbs chain ends."""
        start = v if self._config.chain_start == "data" else torch.zeros_like(v)
        W, k = self._network.W.detach(), self._config.gibbs_steps
        if self._kernel is None:
            return gibbs_chain(start, W, bv, bh, k, self._generator)
        stream = stream_of(self._config.seed, *position)
        sample = self._kernel.chains(W.numpy(), start.bool().numpy(), bv.numpy(), bh.numpy(), k, stream)
        return torch.from_numpy(sample).to(v)


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Of frames (N, n_visible), on average."""
    return binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1).mean()


def _named(state: State) -> dict[str, Tensor]:
    return dict(zip(("u", "c"), state, strict=True))


_Piece = tuple[Array, Array, Roll]
"""Contexts of all frames of a piece, planes and scalars, and its frames."""


class _Heard:
    """The frames of batches with what came before them in their pieces."""

    def __init__(self, training: TrainingSet, kernel: Kernel | None, config: TrainingConfig) -> None:
        self._training = training
        self._kernel = kernel
        self._config = config
        self._epoch = -1
        self._maker: PieceMaker | None = None
        self._pieces: dict[Excerpt, _Piece] = {}

    def begin(self, epoch: int, player: Parameters | None) -> None:
        """Another epoch, or where one goes on, in which `player` draws some of the frames; None: they are real."""
        self._epoch, self._pieces, self._maker = epoch, {}, None
        if player is not None:
            self._maker = GatedPieces(player, self._kernel) if self._kernel else PlainPieces(player, "cpu")

    def __call__(self, batch: Batch) -> tuple[Contexts, Tensor]:
        """Contexts of the sequences side by side, and their frames (T, B, n_visible)."""
        known, self._pieces = self._pieces, {}  # only what the next batch may go on with is kept
        rows = [[self._excerpt(excerpt, known) for excerpt in sequence] for sequence in batch]
        joined = [[np.concatenate(parts) for parts in zip(*row, strict=True)] for row in rows]
        planes, scalars, going_on, v = (np.stack(parts, axis=1) for parts in zip(*joined, strict=True))
        tensors = (torch.from_numpy(array) for array in (planes, scalars, going_on))
        return Contexts(*tensors), torch.from_numpy(v).float()

    def _excerpt(self, excerpt: Excerpt, known: dict[Excerpt, _Piece]) -> tuple[Array, Array, Array, Roll]:
        end = int(self._training.lengths[excerpt.piece])
        whole = excerpt._replace(start=excerpt.begin, stop=end)
        found = known.get(whole) or self._pieces.get(whole) or self._remembered(whole)
        self._pieces[whole] = found
        frames = slice(excerpt.start - excerpt.begin, excerpt.stop - excerpt.begin)
        planes, scalars, roll = found[0][frames], found[1][frames], found[2][frames]
        going_on = np.ones((len(roll), 1), np.float32)
        if excerpt.start == excerpt.begin:
            going_on[0] = 0
        return planes, scalars, going_on, roll

    def _remembered(self, whole: Excerpt) -> _Piece:
        roll = self._training.frames(whole)
        heard = self._played_along(self._maker, roll, whole) if self._maker else roll
        planes, scalars = contexts(heard) if self._kernel is None else compiled_contexts(self._kernel, heard)
        scalars[:, MOVED] = whole.semitones != 0
        return planes, scalars, roll

    def _played_along(self, maker: PieceMaker, roll: Roll, whole: Excerpt) -> Roll:
        """With slips in half of the pieces, in each another share of the frames."""
        random = np.random.default_rng((self._config.seed, self._epoch, 4, whole.piece, whole.begin))
        share = self._config.slips * max(0.0, float(random.uniform(-2, 2)))
        if not share:
            return roll
        drawing = Drawing(1.0, BEST_STEPS, STARTS[BEST_START])
        return with_slips(roll, min(share, 0.9), self._config.stretch, maker, drawing, random)
