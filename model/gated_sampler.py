"""Samples pieces of the models with a gated recurrence, a piece after its primer, or around what is given.

What draws the frames is a `PieceMaker`: the compiled kernel's `GatedPieces`, or PyTorch's in model/gated_generation.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.cores import OnStep, Report, perform
from model.drawing import BEST_START, BEST_STEPS, Start
from model.infilling import PARTICLES, LogWeights, fill_in, penalties
from model.kernel import STARTS, Clamp, Drawing, Frames, stream_of
from model.parameters import Parameters
from model.pianoroll import Roll

SLICE_WORK = 1.5e9
"""Gibbs steps times weights between two looks at `on_step`: some 50 ms."""
STEPS_OF_A_CONTEXT = 100
"""The memory and the recurrence cost a frame about as much as so many Gibbs steps."""


class PieceMaker(Protocol):
    """Hears and draws frames of pieces, of which it knows the `pieces` that it made itself: one row, or item, each."""

    def begin(self, n: int, room: int) -> Any:
        """`n` pieces of which nothing has been heard, for at most so many frames."""
        ...

    def copies(self, pieces: Any, chosen: NDArray[np.intp]) -> Any:
        """Those pieces, of which some may be chosen several times."""
        ...

    def hear(self, piece: Any, room: int, frames: Frames) -> None:
        """A piece, the only one, goes on by given frames (frames, n_visible)."""
        ...

    def generate(
        self, pieces: Any, room: int, drawing: Drawing, seeds: NDArray[np.uint64], first: int, last: int,
        clamp: Clamp | None = None,
    ) -> tuple[Frames, LogWeights]:  # fmt: skip
        """Frames `first` to `last` of each piece, (pieces, last - first, n_visible), which then have heard them.

        With a clamp, which has as many frames, also the log probability of what is given to each piece, (pieces,).
        """
        ...


@dataclass
class GatedSampler:
    """`model.sampler.Sampler` says what its methods do; `start` is where the chains of an RBM start."""

    parameters: Parameters
    pieces: PieceMaker
    device: str
    kernel: str
    threads: int = 1
    start: Start = BEST_START

    def from_zeros(self) -> "GatedSampler":
        """The same with chains that start from zeros."""
        return replace(self, start="zeros")

    def generate(
        self,
        length: int,
        seeds: Sequence[int],
        *,
        gibbs_steps: int = BEST_STEPS,
        temperature: float = 1.0,
        primer: Roll | None = None,
        on_step: OnStep | None = None,
    ) -> Frames:
        """Frame t takes the same random numbers with a primer and without."""
        start = 0 if primer is None else len(primer)
        end = start + length
        heard = self.pieces.begin(1, end)
        rolls = np.empty((len(seeds), end, self.parameters.config.n_visible), np.bool_)
        if primer is not None:
            rolls[:, :start] = primer
            self.pieces.hear(heard, end, primer)
        drawing = self._drawing(gibbs_steps, temperature)
        n_frames = self._slice(gibbs_steps)

        def sample(index: int, report: Report) -> None:
            own = self.pieces.copies(heard, np.zeros(1, np.intp))
            seed = np.array([seeds[index]], np.uint64)
            for first in range(start, end, n_frames):
                last = min(first + n_frames, end)
                rolls[index, first:last] = self.pieces.generate(own, end, drawing, seed, first, last)[0][0]
                report(last - start)

        perform(sample, len(seeds), on_step, self.threads)
        return rolls

    def infill(
        self,
        source: Roll,
        kept: Roll,
        seeds: Sequence[int],
        *,
        particles: int = PARTICLES,
        gibbs_steps: int = BEST_STEPS,
        temperature: float = 1.0,
        on_step: OnStep | None = None,
    ) -> Frames:
        """By the particle filter of model.infilling; NADE's weights are exact, and its frames take no Gibbs steps."""
        n_frames = self._slice(2 * gibbs_steps + 1, particles)
        rolls = np.empty((len(seeds), *source.shape), np.bool_)
        drawing = self._drawing(gibbs_steps, temperature)

        def sample(index: int, report: Report) -> None:
            def before_frame(t: int) -> None:
                if t and t % n_frames == 0:
                    report(t)

            seed = seeds[index]
            own = _Particles(self.pieces, seed, particles, len(source), drawing)
            rolls[index] = fill_in(own, particles, source, kept, seed, before_frame)
            report(len(source))

        perform(sample, len(seeds), on_step, self.threads)
        return rolls

    def _drawing(self, gibbs_steps: int, temperature: float) -> Drawing:
        return Drawing(temperature, gibbs_steps, STARTS[self.start])

    def _slice(self, steps: int, pieces: int = 1) -> int:
        """Frames between two looks at `on_step`, if one takes that many Gibbs steps, of so many pieces together."""
        work = pieces * (steps + STEPS_OF_A_CONTEXT) * self.parameters.arrays["W"].size
        return int(SLICE_WORK / work) or 1


class _Particles:
    """See `model.infilling.Particles`."""

    def __init__(self, maker: PieceMaker, seed: int, n: int, length: int, drawing: Drawing) -> None:
        self._maker = maker
        self._streams = np.array([stream_of(seed, particle) for particle in range(n)], np.uint64)
        self._room = length
        self._drawing = drawing
        self._pieces = maker.begin(n, length)

    def draw(self, t: int, kept: NDArray[np.bool_], source: NDArray[np.bool_]) -> tuple[Frames, LogWeights]:
        clamp = Clamp(kept[None], source[None], penalties(self._drawing.gibbs_steps, kept))
        rolls, log_weights = self._maker.generate(
            self._pieces, self._room, self._drawing, self._streams, t, t + 1, clamp
        )
        return rolls[:, 0], log_weights

    def select(self, chosen: NDArray[np.intp]) -> None:
        self._pieces = self._maker.copies(self._pieces, chosen)
