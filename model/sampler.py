"""Who samples pieces: the compiled kernel where it can, PyTorch elsewhere. Free of torch until PyTorch is chosen.

Both sample the same distribution; the same seed gives the same piece on the same one of them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.calibration import applied
from model.cores import Report, n_cores, perform
from model.draw_options import DEFAULT, DrawOptions
from model.drawing import Way
from model.gated_sampler import GatedSampler
from model.infilling import LogWeights, fill_in, penalties
from model.kernel import Clamp, Frames, Kernel, stream_of
from model.kernel.gated import GatedPieces
from model.makers import PieceMaker
from model.parameters import Array, Parameters
from model.pianoroll import Roll

SLICE_WORK = 1.5e9
"""Gibbs steps times weights between two looks at `on_step`: some 20 ms."""
PIECES_AT_ONCE = 8


class Sampler(Protocol):
    """Samples pieces of one model."""

    parameters: Parameters

    @property
    def device(self) -> str:
        """Where the latest pieces were sampled: `cpu`, or what PyTorch calls it."""
        ...

    @property
    def kernel(self) -> str:
        """What sampled them."""
        ...

    def tutorial_way(self) -> "Sampler":
        """The same as the tutorial draws: the model itself, which has no calibration and recalls nothing."""
        ...

    def generate(
        self, length: int, seeds: Sequence[int], options: DrawOptions = DEFAULT, *, primer: Roll | None = None
    ) -> Frames:
        """A piece for each seed: the primer (its frames, n_visible), if any, and `length` frames that follow it.

        The pieces are (pieces, frames of the primer + length, n_visible). Each frame's chain starts from zeros, as the
        tutorial's does. A piece depends on its seed, not on the others.

        Raises:
            Stopped: `on_step` said so.
        """
        ...

    def infill(self, source: Roll, kept: Roll, seeds: Sequence[int], options: DrawOptions = DEFAULT) -> Frames:
        """A piece for each seed, as `source` where `kept` says so and sampled elsewhere: (pieces, frames, n_visible).

        source, kept: (frames, n_visible). A frame takes at most `particles` times 2 `gibbs_steps` + 1 Gibbs steps;
        model.infilling says what for. A piece depends on its seed, not on the others.

        Raises:
            Stopped: `on_step` said so.
        """
        ...


def sampler(parameters: Parameters, device: str, kernel: Kernel | None) -> Sampler:
    """The sampler for a device: the compiled kernel for `cpu`, unless it is None."""
    if parameters.config.kind != "rnn-rbm":
        return gated_sampler(parameters, device, kernel)
    if device == "cpu" and kernel is not None:
        return CompiledSampler(parameters, kernel)
    from model.generation import PlainSampler  # noqa: PLC0415 (torch takes a second to load)

    return PlainSampler(parameters, device)


def gated_sampler(parameters: Parameters, device: str, kernel: Kernel | None) -> GatedSampler:
    """The sampler of a model with a gated recurrence."""
    maker: Callable[[Parameters], PieceMaker]
    if device == "cpu" and kernel is not None:
        maker, name, threads = partial(GatedPieces, kernel=kernel), kernel.name, n_cores()
    else:
        from model.gated_generation import PlainPieces  # noqa: PLC0415 (torch takes a second to load)

        maker, name, threads = partial(PlainPieces, device=device), "torch", 1
    calibrated = maker(applied(parameters)) if "free_bias" in parameters.arrays else None
    return GatedSampler(parameters, maker(parameters), device, name, threads, calibrated=calibrated)


def in_way(sampler: Sampler, way: Way) -> Sampler:
    """The sampler in this way."""
    return sampler.tutorial_way() if way == "tutorial" else sampler


class CompiledSampler:
    """Samples on the CPU, several pieces on all its cores."""

    device = "cpu"

    def __init__(self, parameters: Parameters, kernel: Kernel) -> None:
        self.parameters = parameters
        self._kernel = kernel
        self.kernel = kernel.name

    def tutorial_way(self) -> "CompiledSampler":
        """See `Sampler`."""
        return (
            CompiledSampler(self.parameters.without_recall(), self._kernel) if self.parameters.config.recall else self
        )

    def generate(
        self, length: int, seeds: Sequence[int], options: DrawOptions = DEFAULT, *, primer: Roll | None = None
    ) -> Frames:
        """See `Sampler`. Frame t takes the same random numbers with a primer and without."""
        config = self.parameters.config
        groups = [range(i, min(i + PIECES_AT_ONCE, len(seeds))) for i in range(0, len(seeds), PIECES_AT_ONCE)]
        n_frames = self._slice(options.gibbs_steps * PIECES_AT_ONCE)
        start = 0 if primer is None else len(primer)
        rolls = np.empty((len(seeds), start + length, config.n_visible), np.bool_)
        state = self.parameters.u0
        beginning = np.zeros((0, config.n_visible), np.bool_)
        if primer is not None:
            rolls[:, :start] = beginning = primer
            state = self._state_after(primer)
        heard = self._kernel.recall(config, start + length, beginning) if config.recall else None

        def sample(index: int, report: Report) -> None:
            pieces = groups[index]
            own = np.array([seeds[piece] for piece in pieces], np.uint64)
            states = np.tile(state, (len(pieces), 1))
            recall = heard.repeated(len(pieces)) if heard else None
            for first in range(start, start + length, n_frames):
                last = min(first + n_frames, start + length)
                rolls[pieces.start : pieces.stop, first:last] = self._kernel.generate(
                    self.parameters, own, states, first, last, options.gibbs_steps, options.temperature, recall
                )
                report(len(pieces) * (last - start))

        perform(sample, len(groups), options.on_step, n_cores())
        return rolls

    def infill(self, source: Roll, kept: Roll, seeds: Sequence[int], options: DrawOptions = DEFAULT) -> Frames:
        """See `Sampler`."""
        n_frames = self._slice(options.particles * (2 * options.gibbs_steps + 1))
        rolls = np.empty((len(seeds), *source.shape), np.bool_)

        def sample(index: int, report: Report) -> None:
            def before_frame(t: int) -> None:
                if t and t % n_frames == 0:
                    report(t)

            seed = seeds[index]
            own = _CompiledParticles(self.parameters, self._kernel, seed, options)
            rolls[index] = fill_in(own, options.particles, source, kept, seed, before_frame)
            report(len(source))

        perform(sample, len(seeds), options.on_step, n_cores())
        return rolls

    def _state_after(self, primer: Roll) -> Array:
        if self.parameters.config.learn_u0:  # the kernel begins from 0
            state: Array = self.parameters.states(primer)[-1]
            return state
        return self._kernel.state_after(self.parameters, primer)

    def _slice(self, steps: int) -> int:
        """Frames between two looks at `on_step`, if one takes that many Gibbs steps."""
        config = self.parameters.config
        return int(SLICE_WORK / (steps * config.n_visible * config.n_hidden)) or 1


class _CompiledParticles:
    """See `model.infilling.Particles`."""

    def __init__(self, parameters: Parameters, kernel: Kernel, seed: int, options: DrawOptions) -> None:
        self._parameters = parameters
        self._kernel = kernel
        self._streams = np.array([stream_of(seed, particle) for particle in range(options.particles)], np.uint64)
        self._states = np.tile(parameters.u0, (options.particles, 1))
        self._options = options

    def draw(self, t: int, kept: NDArray[np.bool_], source: NDArray[np.bool_]) -> tuple[Frames, LogWeights]:
        k, temperature = self._options.gibbs_steps, self._options.temperature
        clamp = Clamp(kept[None], source[None], penalties(k, kept))
        rolls, log_weights = self._kernel.clamped(
            self._parameters, self._streams, self._states, t, clamp, k, temperature
        )
        return rolls[:, 0], log_weights

    def select(self, chosen: NDArray[np.intp]) -> None:
        self._states = self._states[chosen]
