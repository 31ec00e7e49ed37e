"""Whole updates of a fixed shape: recurrence, chain, cost, backward, clipping and optimiser as one function.

On a GPU the function is captured as a CUDA graph and replayed, one launch for some thousand; elsewhere it is called.
Sequences that are shorter than the longest, or missing, are padded and masked. Random numbers are those of the update's
number, so that a training goes on from its checkpoint, whatever device that comes from.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_

from model.batches import Batch
from model.config import TrainingConfig
from model.cuda.chains import Chains
from model.cuda.frames import ResidentFrames
from model.cuda.room import Parts
from model.gradients import Position
from model.kernel import stream_of
from model.rbm import contrastive_divergence, pseudo_log_likelihood
from model.rnn_rbm import RnnRbmNetwork
from model.training_set import TrainingSet

WARM_UPS = 3
"""Calls before a capture, in which libraries set themselves up."""


class WholeUpdates:
    """Performs the updates of a training; what an update takes and returns is said at `model.gradients.Gradients`.

    Sequences for which the device has no room together are done in parts, whose gradients are added up.
    """

    def __init__(
        self,
        network: RnnRbmNetwork,
        optimizer: torch.optim.Optimizer,
        chains: Chains,
        config: TrainingConfig,
        training: TrainingSet,
    ) -> None:
        device = network.W.device
        self._network = network
        self._optimizer = optimizer
        self._config = config
        self._chains = chains
        self._generator = torch.Generator(device)
        self._frames = ResidentFrames(training, config.n_parallel, config.batch_size, device)
        self._results = torch.zeros(2, device=device)
        self._parts = Parts(config.n_parallel, "sequences of an update")
        self._captured: dict[bool, Captured] = {}
        self._capturable = device.type == "cuda" and not config.momentum  # with momentum it is not one fused step

    def __call__(self, batch: Batch, position: Position) -> tuple[float, float]:
        """Update the parameters; cost and monitor, means over all frames."""
        self._frames.choose(batch)
        pretraining = position.epoch < self._config.pretraining_epochs
        while True:
            try:
                self._perform(pretraining, stream_of(self._config.seed, *position) >> 1)  # PyTorch takes 63 bits
                break
            except torch.OutOfMemoryError as error:  # the optimiser comes last, so nothing has changed yet
                refusal = str(error).splitlines()[0]
            self._captured.clear()
            self._network.zero_grad()
            self._parts.halve(self._parts.at_once, refusal)
        cost, monitor = self._results.tolist()
        return cost, monitor

    def _perform(self, pretraining: bool, seed: int) -> None:
        if not self._capturable:
            self._generator.manual_seed(seed)
            self.update(pretraining)
            return
        if pretraining not in self._captured:
            with _unchanged(self._network, self._optimizer):
                self._captured[pretraining] = Captured(
                    lambda: self.update(pretraining), self._optimizer, self._generator
                )
        self._generator.manual_seed(seed)
        self._captured[pretraining]()

    def update(self, pretraining: bool) -> None:
        """One update on the frames that are chosen; leaves cost and monitor in the results."""
        self._network.zero_grad()
        self._results.zero_()
        n_frames = self._frames.lengths().sum()
        for first in range(0, self._frames.n_sequences, self._parts.at_once):
            part = slice(first, min(first + self._parts.at_once, self._frames.n_sequences))
            cost, monitor = self._sums(part, pretraining)
            (cost / n_frames).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            self._results += torch.stack([cost.detach(), monitor]) / n_frames
        if self._config.clip_norm:
            clip_grad_norm_(self._network.parameters(), self._config.clip_norm)
        self._optimizer.step()

    def _sums(self, part: slice, pretraining: bool) -> tuple[Tensor, Tensor]:
        """Cost and monitor of some sequences, sums over their frames."""
        network, config, generator = self._network, self._config, self._generator
        v, real = self._frames.take(part)  # (T, B, n_visible), (T, B)
        bv_t, bh_t = (biases.flatten(0, 1) for biases in network.biases_of(self._dropped(v), self._chains.loops))
        v, real = v.flatten(0, 1), real.flatten()  # (T B, n_visible), (T B,)
        if pretraining:
            cost = (binary_cross_entropy_with_logits(bv_t, v, reduction="none").sum(-1) * real).sum()
            return cost, -cost.detach()
        start = v if config.chain_start == "data" else torch.zeros_like(v[:1])
        W, bv, bh = network.W.detach(), bv_t.detach(), bh_t.detach()
        v_sample = self._chains.free(start, W, bv, bh, config.gibbs_steps, generator)
        cost = (contrastive_divergence(v, v_sample, network.W, bv_t, bh_t) * real).sum()
        return cost, (pseudo_log_likelihood(v, v_sample, W, bv, bh, generator) * real).sum()

    def _dropped(self, v: Tensor) -> Tensor:
        """The frames without a random share of their notes."""
        share = self._config.input_dropout
        if not share:
            return v
        return v * (torch.rand(v.shape, generator=self._generator, device=v.device) >= share)


class Captured:
    """A CUDA graph of an update; its rates of learning are those that the optimiser has when it is replayed."""

    def __init__(
        self, update: Callable[[], None], optimizer: torch.optim.Optimizer, generator: torch.Generator
    ) -> None:
        self._optimizer = optimizer
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(generator)
        self._rates = [
            torch.tensor(group["lr"], dtype=torch.float32, device=generator.device) for group in optimizer.param_groups
        ]
        with _for_capture(optimizer, self._rates):
            stream = torch.cuda.Stream(generator.device)  # type: ignore[no-untyped-call] # torch leaves it untyped
            stream.wait_stream(torch.cuda.current_stream(generator.device))
            with torch.cuda.stream(stream), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it runs uncaptured, as it has to at first
                for _ in range(WARM_UPS):
                    update()
            torch.cuda.current_stream(generator.device).wait_stream(stream)
            with torch.cuda.graph(self._graph):
                update()

    def __call__(self) -> None:
        """Replay it."""
        for rate, group in zip(self._rates, self._optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        self._graph.replay()


@contextmanager
def _for_capture(optimizer: torch.optim.Optimizer, rates: list[Tensor]) -> Iterator[None]:
    """The optimiser with rates that lie on the device, where a graph reads them."""
    own = [dict(group) for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
        if "capturable" in group:
            group["capturable"] = True
    try:
        yield
    finally:
        for group, before in zip(optimizer.param_groups, own, strict=True):
            group.update(before)


@contextmanager
def _unchanged(network: RnnRbmNetwork, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Have the parameters and the optimiser's memory afterwards as before, in the same places.

    What the optimiser did not have before is 0 afterwards, as an optimiser's memory is at first.
    """
    parameters = {name: value.detach().clone() for name, value in network.named_parameters()}
    memory = {
        (parameter, slot): value.clone()
        for parameter, slots in optimizer.state.items()
        for slot, value in slots.items()
        if isinstance(value, Tensor)
    }
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in network.named_parameters():
                value.copy_(parameters[name])
            for parameter, slots in optimizer.state.items():
                for slot, value in slots.items():
                    if isinstance(value, Tensor):
                        value.copy_(memory.get((parameter, slot), torch.zeros_like(value)))


@contextmanager
def whole_updates(
    network: RnnRbmNetwork,
    optimizer: torch.optim.Optimizer,
    chains: Chains,
    config: TrainingConfig,
    training: TrainingSet,
) -> Iterator[WholeUpdates]:
    """What performs the updates, for as long as the training lasts; the gradients are then gone."""
    try:
        yield WholeUpdates(network, optimizer, chains, config, training)
    finally:
        network.zero_grad()
