"""Who samples pieces: the compiled kernel where it can, PyTorch elsewhere. Free of torch until PyTorch is chosen.

Both sample the same distribution; the same seed gives the same piece on the same one of them.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Event
from typing import Protocol

import numpy as np

from model.errors import Stopped
from model.kernel import Frames, Kernel
from model.parameters import Parameters

OnStep = Callable[[int], bool]

SLICE_WORK = 1.5e9
"""Gibbs steps times weights between two looks at `on_step`: some 20 ms."""
PIECES_AT_ONCE = 8
WAIT_SECONDS = 0.05


class Sampler(Protocol):
    """Samples pieces of one model."""

    kernel: str
    parameters: Parameters

    def generate(
        self,
        length: int,
        seeds: Sequence[int],
        *,
        gibbs_steps: int = 25,
        temperature: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Frames:
        """A piece of `length` frames for each seed: (pieces, length, n_visible).

        Each frame's chain starts from zeros, as the tutorial's does; `temperature` divides the RBM's energy. A piece
        depends on its seed, not on the others. `on_step(t)` is called now and then with the number of frames that are
        done, of all pieces together.

        Raises:
            Stopped: `on_step` said so.
        """
        ...


def sampler(parameters: Parameters, device: str, kernel: Kernel | None) -> Sampler:
    """The sampler for a device: the compiled kernel for `cpu`, unless it is None."""
    if device == "cpu" and kernel is not None:
        return CompiledSampler(parameters, kernel)
    from model.generation import PlainSampler  # noqa: PLC0415 (torch takes a second to load)

    return PlainSampler(parameters, device)


class CompiledSampler:
    """Samples on the CPU, several pieces on all its cores."""

    def __init__(self, parameters: Parameters, kernel: Kernel) -> None:
        self.parameters = parameters
        self._kernel = kernel
        self.kernel = kernel.name

    def generate(
        self,
        length: int,
        seeds: Sequence[int],
        *,
        gibbs_steps: int = 25,
        temperature: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Frames:
        """See `Sampler`."""
        config = self.parameters.config
        groups = [range(i, min(i + PIECES_AT_ONCE, len(seeds))) for i in range(0, len(seeds), PIECES_AT_ONCE)]
        n_frames = int(SLICE_WORK / (gibbs_steps * config.n_visible * config.n_hidden * PIECES_AT_ONCE)) or 1
        rolls = np.empty((len(seeds), length, config.n_visible), np.bool_)
        done = [0] * len(groups)
        stop = Event()

        def ask() -> None:
            if on_step is not None and on_step(sum(done)):
                stop.set()
                raise Stopped

        def sample(index: int, between: Callable[[], None]) -> None:
            pieces = groups[index]
            own = np.array([seeds[piece] for piece in pieces], np.uint64)
            states = np.zeros((len(pieces), config.n_hidden_recurrent), np.float32)
            for first in range(0, length, n_frames):
                between()
                if stop.is_set():
                    return
                last = min(first + n_frames, length)
                rolls[pieces.start : pieces.stop, first:last] = self._kernel.generate(
                    self.parameters, own, states, first, last, gibbs_steps, temperature
                )
                done[index] += len(pieces) * (last - first)

        if len(groups) == 1:
            sample(0, ask)
        else:
            _in_threads(sample, len(groups), ask)
        return rolls


def _in_threads(task: Callable[[int, Callable[[], None]], None], n: int, ask: Callable[[], None]) -> None:
    """Perform tasks 0 to n - 1 on all cores, asking now and then whether to go on."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        pending = {pool.submit(task, index, lambda: None) for index in range(n)}
        try:
            while pending:
                finished, pending = wait(pending, WAIT_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    future.result()
                ask()
        except BaseException:
            for future in pending:
                future.cancel()
            raise
