"""What the training of an RNN-RBM asks of it, beside updates: how it begins, and how well it does."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from model.batches import Batch, shuffled
from model.conditionals import Conditionals, conditionals
from model.config import TrainingConfig
from model.corpus import PackedRolls
from model.gradients import Gradients, gradients, pad
from model.kernel import Kernel, stream_of
from model.likelihood import Annealing, annealer, reverse_log_likelihood
from model.pianoroll import Roll
from model.rbm import gibbs_chain, pseudo_log_likelihood
from model.rbm_pretraining import HasRbm, pretrain_rbm
from model.rnn_rbm import RnnRbmNetwork
from model.training_set import TrainingSet

PROBE_FRAMES, PROBE_LENGTH = 2000, 200
TUTORIAL_STEPS, GENERATION_STEPS = 15, 25
SCORE = Annealing(temperatures=200)
"""Of each epoch: some hundredths of a second, and the same random numbers, so that epochs can be compared."""


class Task(Protocol):
    """What the training loop asks of a kind of model; it acts on the parameters as they are when it is asked."""

    carried: dict[str, Tensor]
    """What one update leaves for the next, beside parameters; it is kept with a training that is interrupted."""

    def prepare(self, training: TrainingSet, should_stop: Callable[[], bool]) -> bool:
        """Before the first update: first values that depend on the pieces.

        False if `should_stop` said so; the parameters are then as before.
        """
        ...

    def batches(self, training: TrainingSet, epoch: int) -> list[Batch]:
        """What the updates of an epoch take, in their order."""
        ...

    def gradients(self, training: TrainingSet) -> AbstractContextManager[Gradients]:
        """What computes the gradients, for as long as the training lasts."""
        ...

    def measure(self, rolls: PackedRolls, epoch: int) -> dict[str, float]:
        """Metrics after an epoch on pieces of the corpus, in nats a frame."""
        ...

    def score(self, rolls: PackedRolls) -> float:
        """How well pieces are predicted that were held out, in nats a frame: larger is better."""
        ...


class RnnRbmTask:
    """See `Task`."""

    def __init__(
        self, network: RnnRbmNetwork, generator: torch.Generator, kernel: Kernel | None, config: TrainingConfig
    ) -> None:
        self.carried: dict[str, Tensor] = {}
        self._network = network
        self._generator = generator
        self._kernel = kernel
        self._config = config

    def prepare(self, training: TrainingSet, should_stop: Callable[[], bool]) -> bool:
        """See `Task`."""
        if self._config.initialization == "scaled":
            set_key_frequencies(self._network, training)
        return pretrain_rbm(self._network, training, self._config, self._kernel, should_stop)

    def batches(self, training: TrainingSet, epoch: int) -> list[Batch]:
        """See `Task`."""
        return shuffled(training, self._config, epoch)

    @contextmanager
    def gradients(self, training: TrainingSet) -> Iterator[Gradients]:
        """See `Task`."""
        with gradients(self._network, self._generator, self._kernel, self._config) as compute:
            yield lambda batch, position: compute([training.frames(*sequence) for sequence in batch], position)

    def measure(self, rolls: PackedRolls, epoch: int) -> dict[str, float]:
        """`zero_start`, and `monitor` where the updates do not have it."""
        metrics = {}
        if self._config.chain_start == "zeros" and epoch >= self._config.pretraining_epochs:
            metrics["monitor"] = probe(self._network, rolls, "data", TUTORIAL_STEPS, self._kernel)
        metrics["zero_start"] = probe(self._network, rolls, "zeros", GENERATION_STEPS, self._kernel)
        return metrics

    def score(self, rolls: PackedRolls) -> float:
        """The log-likelihood, roughly: what annealing from the frames themselves bounds it by from below.

        It is on average no more than the logarithm of a probability, so no chain that does not mix can make it look
        good; from the other side one that is far from mixing comes to more than 0.
        """
        c = conditionals(self._network.to_parameters(), beginnings(rolls), self._kernel)
        return rough_log_likelihood(c, str(self._network.W.device), self._kernel)


def rough_log_likelihood(c: Conditionals, device: str, kernel: Kernel | None) -> float:
    """By annealing from the frames, a mean over them.

    It is on average no more than the logarithm of a probability, so no chain that does not mix can make it look good;
    from the other side one that is far from mixing comes to more than 0.
    """
    runner = annealer(device, kernel)
    return float(reverse_log_likelihood(runner, c, SCORE, "data", stream_of(0)).mean())


def set_key_frequencies(network: HasRbm, training: TrainingSet) -> None:
    """bv at the log odds of each key; a key that is never heard counts as heard in one frame."""
    heard = torch.from_numpy(training.notes_by_key()) + 1.0
    network.bv.data = torch.logit(heard / (training.n_frames + 2.0)).to(network.bv)


@torch.no_grad()
def probe(
    network: RnnRbmNetwork, rolls: PackedRolls, start: Literal["data", "zeros"], k: int, kernel: Kernel | None = None
) -> float:
    """The monitor on about 2,000 frames, from the beginnings of pieces all over the corpus, with fixed random numbers.

    With chains of 15 steps from the data it is the tutorial's monitor, which cannot see a chain that does not mix.
    With chains of 25 steps from zeros, as generation runs them, it can. In nats per frame.
    """
    device = network.W.device
    generator = torch.Generator(device).manual_seed(0)
    v, frames = pad(beginnings(rolls), device)
    bv_t, bh_t = (biases[frames] for biases in network.biases_of(v))
    v = v[frames]  # (N, n_visible)
    first = v if start == "data" else torch.zeros_like(v)
    if kernel is None:
        v_sample = gibbs_chain(first, network.W, bv_t, bh_t, k, generator)
    else:
        sample = kernel.chains(
            network.W.detach().numpy(), first.bool().numpy(), bv_t.numpy(), bh_t.numpy(), k, stream_of(0)
        )
        v_sample = torch.from_numpy(sample).to(v)
    return pseudo_log_likelihood(v, v_sample, network.W, bv_t, bh_t, generator).mean().item()


def beginnings(rolls: PackedRolls) -> list[Roll]:
    """What a probe hears: about 2,000 frames."""
    order = np.random.default_rng(0).permutation(len(rolls)).tolist()
    found: list[Roll] = []
    n_frames = 0
    for piece in order:
        found.append(rolls.frames(piece, 0, PROBE_LENGTH))
        n_frames += len(found[-1])
        if n_frames >= PROBE_FRAMES:
            break
    return found
