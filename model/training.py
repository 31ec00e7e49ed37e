"""Learning the parameters by contrastive divergence, in updates that can be stopped and resumed to the bit.

The tutorial's recipe: the corpus is cut into subsequences of `batch_size` frames, each update takes one of them,
CD-15 gives the gradient of every frame's RBM, and back-propagation through time carries it to the recurrence.

Beyond it, what it takes for the model to be sampled by 25 Gibbs steps from zeros (docs/adr/0006):
the recurrence learns first to predict frames by cross-entropy, so that the biases and not the chain carry most of a
frame; the negative chains start at zeros, as in generation; and the recurrence misses some notes of its input, so that
it is at home on pieces with slips, its own among them.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from model.batches import Batch
from model.config import TrainingConfig
from model.corpus import PackedRolls
from model.cuda.chains import Chains
from model.cuda.update import whole_updates
from model.distillation import check_teaching
from model.errors import CorpusError, TrainingError
from model.gated import GatedNetwork
from model.gated_training import GatedTask
from model.gradients import Gradients, Position
from model.kernel import Kernel
from model.network import Network
from model.parameters import Parameters
from model.rnn_rbm import RnnRbmNetwork
from model.task import RnnRbmTask, Task
from model.training_set import TrainingSet, split

RBM = ("W", "bv", "bh")
"""Parameters that `lr_rbm` is for."""


@dataclass
class TrainingState:
    """Everything that the next update depends on; `update` counts within the epoch."""

    network: Network
    task: Task
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    """PyTorch's random numbers; the compiled kernel counts its own."""
    epoch: int = 0
    update: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: {"cost": 0.0, "monitor": 0.0})
    history: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each finished epoch."""
    average: dict[str, Tensor] = field(default_factory=dict)
    """Parameters, averaged over updates, where that is asked for."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """Parameters after the epoch, of this stage, that predicts best what was held out."""
    best_epoch: int = 0
    best_score: float = -math.inf
    chains: Chains | None = None
    """On a GPU, what whole updates take (model/cuda/update.py); None: gradients, then the optimiser."""

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """The parameters that the training comes to: the best, or else the average; none: those of the network."""
        return self.best or self.average

    @property
    def metrics(self) -> dict[str, float]:
        """Of the epoch that the training comes to."""
        epoch = self.best_epoch or self.epoch
        return next((row for row in self.history if row["epoch"] == epoch), self.history[-1])


def initial_state(
    network: Network,
    config: TrainingConfig,
    kernel: Kernel | None = None,
    chains: Chains | None = None,
    teachers: Sequence[Parameters] = (),
) -> TrainingState:
    """The state before the first update, with the optimiser and the random numbers that the config asks for.

    `kernel` is what computes the gradients of a network on the CPU; None: PyTorch. `chains` are those of a GPU, and
    `teachers` those of an `lstm-nade`.
    """
    check_teaching(network.config, config, teachers)
    generator = torch.Generator(network.W.device).manual_seed(config.seed)
    usable = kernel if network.W.device.type == "cpu" else None
    task: Task
    if isinstance(network, GatedNetwork):
        task = GatedTask(network, generator, usable, config, teachers)
    elif isinstance(network, RnnRbmNetwork):
        if config.initialization == "scaled":
            network.initialize_scaled(generator)
        task = RnnRbmTask(network, generator, usable, config)
    else:
        raise TypeError(f"no training for a {type(network).__name__}")
    return TrainingState(network, task, make_optimizer(network, config), generator, chains=chains)


def make_optimizer(network: Network, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser that the config asks for, with a group of parameters for each of its `rates`."""
    named = dict(network.named_parameters())
    groups = [[value for name, value in named.items() if config.lr_rbm is None or name not in RBM]]
    if config.lr_rbm is not None:
        groups.append([named[name] for name in RBM])
    parameters = [{"params": group, "lr": rate} for group, rate in zip(groups, _rates(config), strict=True)]
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, fused=True)
    if not config.momentum:
        return torch.optim.SGD(parameters, fused=True)
    # fused, it cannot begin the momentum of some parameters before that of others, as pretraining does
    return torch.optim.SGD(parameters, momentum=config.momentum, nesterov=True)


def _rates(config: TrainingConfig) -> list[float]:
    return [config.lr] if config.lr_rbm is None else [config.lr, config.lr_rbm]


def train(
    state: TrainingState,
    rolls: PackedRolls,
    config: TrainingConfig,
    *,
    on_epoch: Callable[[TrainingState], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train `state` in place until it is done; whether it is (False: `should_stop` said so).

    It is after `config.epochs`, or when what was held out has long been predicted no better. `on_epoch` is called after
    each epoch, `should_stop` before each update. A stopped state goes on where it was. `keeping` has the result.

    Raises:
        CorpusError: no frame to learn from.
        TrainingError: a parameter is no longer finite.
    """
    training = split(rolls, config)
    if not training.n_frames:
        raise CorpusError("there is nothing to train on: no piece has a single frame")
    started = time.perf_counter() - state.seconds
    if state.epoch == state.update == 0 and not state.task.prepare(training, should_stop):
        return False
    with _updates(state, training, config) as update:
        while not _is_done(state, config):
            batches = state.task.batches(training, state.epoch)
            for batch in batches[state.update :]:
                if should_stop():
                    return False
                _set_learning_rate(state, config, len(batches))
                cost, monitor = update(batch, Position(state.epoch, state.update))
                state.sums["cost"] += cost
                state.sums["monitor"] += monitor
                _average(state, config, state.epoch * len(batches) + state.update)
                state.update += 1
                state.seconds = time.perf_counter() - started
            _finish_epoch(state, rolls, training.held_out, len(batches), config)
            on_epoch(state)
    return True


@contextmanager
def keeping(state: TrainingState) -> Iterator[Network]:
    """The network with the parameters that the training comes to, for as long as the context lasts."""
    with _holding(state.network, state.kept):
        yield state.network


@contextmanager
def _holding(network: Network, values: Mapping[str, Tensor]) -> Iterator[None]:
    """The network with other parameters for a while; they stay where they are in memory, as a kernel reads them."""
    own = _copied(network) if values else {}
    _assign(network, values)
    try:
        yield
    finally:
        _assign(network, own)


def _copied(network: Network) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


@torch.no_grad()
def _assign(network: Network, values: Mapping[str, Tensor]) -> None:
    parameters = dict(network.named_parameters())
    for name, value in values.items():
        parameters[name].copy_(value)


def _is_done(state: TrainingState, config: TrainingConfig) -> bool:
    return state.epoch >= config.epochs or _gets_no_better(state, config)


def _gets_no_better(state: TrainingState, config: TrainingConfig) -> bool:
    return bool(config.patience and state.best and state.epoch - state.best_epoch >= config.patience)


def _set_learning_rate(state: TrainingState, config: TrainingConfig, n_updates: int) -> None:
    """Warm-up over 5% of a stage's updates, then half a cosine down to 1% of the rate."""
    if config.schedule == "constant":
        return
    first = config.pretraining_epochs
    begin, end = (0, first) if state.epoch < first else (first, config.epochs)
    done = ((state.epoch - begin) * n_updates + state.update) / ((end - begin) * n_updates)
    factor = min(1.0, (done + 1 / n_updates) / 0.05) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
    for group, rate in zip(state.optimizer.param_groups, _rates(config), strict=True):
        group["lr"] = rate * factor


@contextmanager
def _updates(state: TrainingState, training: TrainingSet, config: TrainingConfig) -> Iterator[Gradients]:
    """What performs the updates: it also changes the parameters."""
    if state.chains is not None and isinstance(state.network, RnnRbmNetwork):
        with whole_updates(state.network, state.optimizer, state.chains, config, training) as whole:
            yield whole
        return
    with state.task.gradients(training) as compute:

        def update(batch: Batch, position: Position) -> tuple[float, float]:
            figures = compute(batch, position)
            if config.clip_norm:
                clip_grad_norm_(state.network.parameters(), config.clip_norm)
            state.optimizer.step()
            return figures

        yield update


@torch.no_grad()
def _average(state: TrainingState, config: TrainingConfig, updates: int) -> None:
    """Take the parameters into their average, which so soon after the beginning forgets faster."""
    if not config.average:
        return
    if not state.average:
        state.average = _copied(state.network)
    decay = min(config.average, (1 + updates) / (10 + updates))
    for name, value in state.network.named_parameters():
        state.average[name].lerp_(value, 1 - decay)


def _finish_epoch(
    state: TrainingState, rolls: PackedRolls, held_out: PackedRolls, n_updates: int, config: TrainingConfig
) -> None:
    if not all(parameter.isfinite().all() for parameter in state.network.parameters()):
        raise TrainingError(f"training diverged in epoch {state.epoch + 1}: parameters are not finite; lower lr")
    metrics = {name: total / n_updates for name, total in state.sums.items()}
    with _holding(state.network, state.average):
        metrics |= state.task.measure(rolls, state.epoch)
        if held_out.n_frames:
            metrics["validation"] = state.task.score(held_out)
    state.epoch += 1
    state.history.append({"epoch": state.epoch, **metrics, "seconds": state.seconds})
    if metrics.get("validation", -math.inf) > state.best_score:
        state.best_score, state.best_epoch = metrics["validation"], state.epoch
        state.best = {name: value.clone() for name, value in state.average.items()} or _copied(state.network)
    state.update = 0
    state.sums = dict.fromkeys(state.sums, 0.0)
    _pass_on(state, config)


def _pass_on(state: TrainingState, config: TrainingConfig) -> None:
    """From the first stage to the second, when it is over or gets no better: the second goes on from its best."""
    if not state.best or state.epoch > config.pretraining_epochs:
        return
    if state.epoch == config.pretraining_epochs or _gets_no_better(state, config):
        _assign(state.network, state.best)
        state.average = state.best if state.average else {}
        state.best, state.best_epoch, state.best_score = {}, 0, -math.inf
        state.epoch = config.pretraining_epochs
