"""The product's work on a device, measured where its workers call it: chains, updates, pieces, likelihoods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bench.device_limits import Limits, seconds
from bench.report import Row
from model.batches import shuffled
from model.conditionals import conditionals
from model.config import RECIPES, TrainingConfig
from model.corpus import PackedRolls
from model.cuda.accelerator import Accelerator
from model.cuda.chains import PlainChains
from model.cuda.sampler import BatchSampler
from model.cuda.update import WholeUpdates
from model.evaluation import EvaluationConfig, evaluate
from model.gradients import PlainGradients, Position
from model.kernel import best
from model.likelihood import Annealing, annealer, forward_log_likelihood
from model.parameters import Parameters
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import CompiledSampler
from model.training import initial_state, keeping, make_optimizer, train
from model.training_set import split

MODEL, TUTORIAL = RECIPES["tutorial"].model, RECIPES["tutorial"].training
FRAMES_GOAL, UPDATE_GOAL, PIECES_GOAL, LIKELIHOOD_GOAL = 10e6, 1.0, 50_000.0, 0.02
"""Frames a second of updates of 256 sequences; milliseconds of one of a single sequence; pieces a second of 10,000;
nats between models trained here and on the CPU."""
SHARE_GOAL = 0.3
"""Of the roofline."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured with."""

    sequences: Sequence[int] = (1, 64, 256, 1024)
    pieces: Sequence[int] = (1, 100, 1000, 10_000)
    length: int = 200
    rows: int = 25_600
    corpus_pieces: int = 400
    epochs: int = 30
    temperatures: int = 1000
    frames_scored: int = 2000


SMALL = Sizes((1, 4), (1, 8), 20, 256, 12, 1, 20, 40)


@dataclass(frozen=True)
class Work:
    """A device with all that is measured on it."""

    device: torch.device
    name: str
    accelerator: Accelerator
    limits: Limits
    sizes: Sizes

    @property
    def by(self) -> str:
        """Who does the work."""
        return f"{self.accelerator.chains.name}, {self.name}"

    def chains(self) -> Iterator[Row]:
        """Frames a second of CD-15's chains alone, fused and plain."""
        rows, k = self.sizes.rows, TUTORIAL.gibbs_steps
        network = RnnRbmNetwork(MODEL, torch.Generator().manual_seed(0)).to(self.device)
        bv = torch.randn(rows, MODEL.n_visible, device=self.device) - 2
        bh = torch.randn(rows, MODEL.n_hidden, device=self.device)
        start, generator = torch.zeros_like(bv), torch.Generator(self.device)
        rates = []
        for chains in (self.accelerator.chains, PlainChains()):
            took = seconds(lambda c=chains: c.free(start, network.W.detach(), bv, bh, k, generator), self.device)
            rates.append(rows / took)
        yield Row(f"CD-{k}'s chains, {rows:,} frames", self.by, rates[0], "frames/s", "plain chain", rates[1])

    def updates(self) -> Iterator[Row]:
        """Whole updates by the tutorial's recipe, several sequences of 100 frames each, beside PyTorch's plain ones."""
        for n in self.sizes.sequences:
            config = replace(TUTORIAL, n_parallel=n)
            frames = n * config.batch_size
            whole, plain = (1 / rate for rate in self._update_rates(config))
            if n == 1:
                yield Row(
                    "an update of 1 sequence", self.by, 1e3 * whole, "ms", "plain PyTorch", 1e3 * plain, UPDATE_GOAL
                )
                continue
            name, goal = f"training, {n} sequences an update", FRAMES_GOAL if n == 256 else None
            yield Row(name, self.by, frames / whole, "frames/s", "plain PyTorch", frames / plain, goal)
            share = self.limits.seconds(frames, MODEL, config.gibbs_steps) / whole
            goal = SHARE_GOAL if n == 256 else None
            yield Row(f"{name}: share of the roofline", self.by, share, "", goal=goal)

    def _update_rates(self, config: TrainingConfig) -> tuple[float, float]:
        """Updates a second: whole ones, and plain ones."""
        random = np.random.default_rng(0)
        length = config.batch_size * config.n_parallel
        training = split(PackedRolls.pack([random.random((length, MODEL.n_visible)) < 0.05], MODEL.n_visible), config)
        (batch, *_) = shuffled(training, config, 0)
        network = RnnRbmNetwork(MODEL, torch.Generator().manual_seed(0)).to(self.device)
        optimizer = make_optimizer(network, config)
        whole = WholeUpdates(network, optimizer, self.accelerator.chains, config, training)
        compute = PlainGradients(network, torch.Generator(self.device), config)
        chunks = [training.frames(*sequence) for sequence in batch]

        def plain() -> None:
            compute(chunks, Position(0, 0))
            optimizer.step()

        return 1 / seconds(lambda: whole(batch, Position(0, 0)), self.device), 1 / seconds(plain, self.device, 3)

    def pieces(self) -> Iterator[Row]:
        """Pieces of 200 frames, 25 Gibbs steps each, in one call, beside the CPU's kernel on all cores."""
        parameters = RnnRbmNetwork(MODEL, torch.Generator().manual_seed(0)).to_parameters()
        here = BatchSampler(parameters, str(self.device), self.accelerator.chains)
        kernel = best()
        there = CompiledSampler(parameters, kernel) if kernel else None
        for n in self.sizes.pieces:
            took = seconds(lambda n=n: here.generate(self.sizes.length, range(n)), self.device, 3)
            cpu = (
                n / seconds(lambda n=n: there.generate(self.sizes.length, range(n)), self.device, 1) if there else None
            )
            goal = PIECES_GOAL if n == 10_000 else None
            yield Row(f"pieces, {n:,} in one call", self.by, n / took, "pieces/s", "the CPU's kernel", cpu, goal)
        if self.accelerator.compiled:
            yield Row("pieces from which on it is faster than the CPU", self.by, self.accelerator.crossover, "pieces")

    def likelihood(self) -> Iterator[Row]:
        """How fast likelihoods are estimated, and that of a model trained here, beside one trained on the CPU."""
        heard, held_out = self._corpus(0), self._corpus(1)
        c = conditionals(self._trained(heard, on_cpu=False), list(held_out), None).take(slice(self.sizes.frames_scored))
        annealing = Annealing(self.sizes.temperatures)
        took = seconds(
            lambda: forward_log_likelihood(annealer(str(self.device), None), c, annealing, 1), self.device, 1
        )
        name = f"likelihood, {self.sizes.temperatures} temperatures"
        yield Row(name, self.by, len(c) / took, "frames/s")
        here, there = (self._score(self._trained(heard, on_cpu=cpu), held_out) for cpu in (False, True))
        yield Row("log-likelihood, trained here", self.by, here, "nats", "trained on the CPU", there)
        close = abs(here - there)
        yield Row("their difference", self.by, close, "nats", note=_within(close))

    def _trained(self, rolls: PackedRolls, *, on_cpu: bool) -> Parameters:
        recipe = RECIPES["fast"]
        config = replace(recipe.training, epochs=self.sizes.epochs)
        network = RnnRbmNetwork(recipe.model, torch.Generator().manual_seed(config.seed))
        if on_cpu:
            state = initial_state(network, config, best())
        else:
            state = initial_state(network.to(self.device), config, chains=self.accelerator.chains)
        train(state, rolls, config)
        with keeping(state) as kept:
            return kept.to_parameters()

    def _score(self, parameters: Parameters, rolls: PackedRolls) -> float:
        """Of both models on the same device, by the same random numbers."""
        annealing = Annealing(self.sizes.temperatures)
        how = EvaluationConfig(annealing, self.sizes.frames_scored, predictions=1, pieces=0)
        return evaluate(parameters, rolls, how, "cpu", best()).figures["log_likelihood"]

    def _corpus(self, seed: int) -> PackedRolls:
        """Pieces by the bundled model where it can be read, or else by one that has learned nothing."""
        parameters = _bundled()
        seeds = range(1000 * seed, 1000 * seed + self.sizes.corpus_pieces)
        kernel = best()
        made = (
            CompiledSampler(parameters, kernel)
            if kernel
            else BatchSampler(parameters, str(self.device), self.accelerator.chains)
        )
        return PackedRolls.pack(made.generate(self.sizes.length, seeds), parameters.config.n_visible)


def _within(difference: float) -> str:
    return f"{'met' if difference <= LIKELIHOOD_GOAL else 'NOT MET'}: {LIKELIHOOD_GOAL} at most"


def _bundled() -> Parameters:
    try:
        from model.artefact import from_bytes  # noqa: PLC0415 (safetensors need not be there)
    except ImportError:
        return RnnRbmNetwork(RECIPES["fast"].model, torch.Generator().manual_seed(0)).to_parameters()
    file = Path(__file__).parents[1] / "worker" / "bundled" / "models" / "0-nottingham" / "model.safetensors"
    return from_bytes(file.read_bytes())
