"""The product, measured where its workers call it: every call that the bench makes to it stands here.

    python -m bench.ours FOLDER THREADS         measure when asked (bench.process)

FOLDER holds the rolls that `bench.corpus` writes. Training goes through `model.training.train`, sampling through
`model.sampler` and whole jobs through `worker.jobs.generate`, in a process that `worker.runtime.prepare` has set up;
the kernel's name is what it reports, and RNNRBM_KERNEL=torch chooses PyTorch here as it does for the service.
"""

import argparse
import copy
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, cycle, islice, takewhile
from pathlib import Path
from statistics import median

import torch

from bench.process import Answer, serve
from bench.sizes import GENERATED_FRAMES, GENERATION_STEPS
from model.config import RECIPES, ModelConfig, TrainingConfig
from model.corpus import PackedRolls
from model.draw_options import DrawOptions
from model.kernel import Frames
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import sampler
from model.training import TrainingState, initial_state, train
from worker import jobs
from worker.context import JobContext, performing
from worker.protocol import GenerateParams, Kind, Status, complete, new_id
from worker.runtime import prepare
from worker.settings import Settings

LABEL = "bench"
SHORT = 25_000
"""Frames of a short epoch."""
WARM_UP = 3
"""Epochs before anything is measured."""
AT_LEAST = 1.0
"""Seconds that a round of training, or of many pieces, takes at least."""


def sample_bundled(length: int, seeds: Sequence[int]) -> Frames:
    """Pieces (pieces, length, n_visible) by the model that POST /generate uses when nothing is said."""
    with tempfile.TemporaryDirectory() as store:
        runtime = prepare(Kind.GENERATE, Settings(data=store))
        model = runtime.cache.get(runtime.store.find_model(GenerateParams().model)["id"])
    return model.generate(length, seeds, DrawOptions(gibbs_steps=GENERATION_STEPS))


def load(path: Path) -> PackedRolls:
    """The rolls that `save` wrote."""
    with path.open("rb") as file:
        return PackedRolls.load(file, LABEL)


def save(rolls: PackedRolls, path: Path) -> None:
    """Write rolls for all contestants."""
    with path.open("wb") as file:
        rolls.save(file, LABEL)


class Tasks:
    """Measurements on a network with the tutorial's sizes that has learned for some epochs.

    At the start half of the keys are on in a chain's frame, for a few hundred updates of thousands, and the kernel,
    which adds up a row of W for each of them, is slower than it will be.
    """

    def __init__(self, folder: Path, store: str, n_threads: int) -> None:
        self.runtime = prepare(Kind.GENERATE, Settings(data=store))
        if self.runtime.compiled is None:
            torch.set_num_threads(n_threads)
        self._folder = folder
        self._rolls = load(folder / "tutorial.npz")
        self._seed = 0
        config = replace(RECIPES["tutorial"].training, epochs=WARM_UP)
        self._network = self._new_network(RECIPES["tutorial"].model)
        train(self._start(self._network, config), self._rolls, config)
        self._sampler = sampler(self._network.to_parameters(), self.runtime.device, self.runtime.compiled)

    def _new_network(self, config: ModelConfig) -> RnnRbmNetwork:
        return RnnRbmNetwork(config, torch.Generator().manual_seed(0)).to(self.runtime.device)

    def _start(self, network: RnnRbmNetwork, config: TrainingConfig) -> TrainingState:
        return initial_state(network, config, self.runtime.compiled)

    def tasks(self) -> Mapping[str, Callable[..., Answer]]:
        """What can be asked for."""
        return {name: getattr(self, name) for name in ("train", "piece", "pieces", "job", "curve")}

    def train(self, n_frames: int = SHORT, n_parallel: int = 1) -> Answer:
        """Whole epochs of the tutorial's training, each time from the same network.

        Pieces with at least `n_frames` together, `n_parallel` subsequences an update. The answer has `frames`,
        `epochs`, the last one's `monitor`, and `seconds`: those of the updates, as the product reports them, without
        the scores that end an epoch.
        """
        rolls = self._first(n_frames)
        config = replace(RECIPES["tutorial"].training, n_parallel=n_parallel, epochs=0)
        state = self._start(copy.deepcopy(self._network), config)
        while state.seconds < AT_LEAST:
            config = replace(config, epochs=config.epochs + 1)
            train(state, rolls, config)
        frames = config.epochs * rolls.n_frames
        answer = {"frames": frames, "seconds": state.seconds, "epochs": config.epochs}
        return {**answer, "monitor": state.history[-1]["monitor"]}

    def _first(self, n_frames: int) -> PackedRolls:
        """The first pieces that make up `n_frames`, the corpus repeated if need be."""
        turns = accumulate(map(len, cycle(self._rolls)))  # frames so far
        n_pieces = 1 + sum(1 for _ in takewhile(lambda frames: frames < n_frames, turns))
        return PackedRolls.pack(islice(cycle(self._rolls), n_pieces), self._rolls.n_visible)

    def piece(self, calls: int = 1, length: int = GENERATED_FRAMES) -> Answer:
        """Median seconds of sampling a piece."""
        return {"seconds": _median_seconds(lambda: self._sample(1, length), calls)}

    def pieces(self, n: int) -> Answer:
        """Mean seconds of calls that sample n pieces of 200 frames, over a second or more."""
        started = time.perf_counter()
        calls = 0
        while time.perf_counter() - started < AT_LEAST:
            self._sample(n, GENERATED_FRAMES)
            calls += 1
        return {"seconds": (time.perf_counter() - started) / calls}

    def _sample(self, n: int, length: int) -> Frames:
        """Pieces (n, length, n_visible), asking now and then whether to stop, as a job does."""
        seeds = range(self._seed, self._seed + n)
        self._seed += n
        return self._sampler.generate(length, seeds, DrawOptions(gibbs_steps=GENERATION_STEPS, on_step=lambda _: False))

    def job(self, calls: int = 1) -> Answer:
        """Median seconds of a generate worker's whole job by the bundled model: sampled, written as MIDI, stored."""
        params = GenerateParams(length=GENERATED_FRAMES, gibbs_steps=GENERATION_STEPS)
        record = self.runtime.store.find_model(params.model)

        def perform() -> None:
            self._seed += 1
            job = complete(params, record, self._seed)
            with performing(JobContext(new_id())):
                outcome = jobs.generate(job.model_dump(mode="json"))
            if outcome["status"] != Status.SUCCEEDED:
                raise RuntimeError(outcome["problem"])

        perform()  # loads the model
        return {"seconds": _median_seconds(perform, calls)}

    def curve(self, recipe: str, goals: Sequence[tuple[str, float]]) -> Answer:
        """Train by a recipe until each metric has once been at its goals: `history`, with wall seconds.

        The monitor of the epochs in which the recurrence learns alone is another thing, and left out.
        """
        started = time.perf_counter()
        left = [(name, goal) for name, goal in goals]
        history: list[dict[str, float]] = []
        model, training = RECIPES[recipe].model, RECIPES[recipe].training

        def on_epoch(state: TrainingState) -> None:
            metrics = {**state.history[-1], "wall": time.perf_counter() - started}
            if state.epoch <= training.pretraining_epochs:
                del metrics["monitor"]
            history.append(metrics)
            left[:] = [(name, goal) for name, goal in left if metrics.get(name, -math.inf) < goal]

        state = self._start(self._new_network(model), training)
        rolls = load(self._folder / f"{recipe}.npz")
        train(state, rolls, training, on_epoch=on_epoch, should_stop=lambda: not left)
        return {"history": history}


def _median_seconds(work: Callable[[], object], calls: int) -> float:
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def main() -> None:
    """Set up, warm up, then measure when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        tasks = Tasks(arguments.folder, store, arguments.threads)
        serve({"kernel": tasks.runtime.kernel, "device": tasks.runtime.device}, tasks.tasks())


if __name__ == "__main__":
    main()
