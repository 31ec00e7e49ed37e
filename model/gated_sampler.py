"""Samples pieces of the models with a gated recurrence, a piece after its primer, or around what is given.

What draws the frames is a `PieceMaker` (model/makers.py): the compiled kernel's `GatedPieces`, or PyTorch's in
model/gated_generation.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.cores import Report, perform
from model.draft import Draft
from model.draw_options import DrawOptions
from model.drawing import BEST_START, BEST_STEPS, Start
from model.infilling import LogWeights, fill_in, penalties
from model.kernel import STARTS, Clamp, Drawing, Frames, stream_of
from model.makers import PieceMaker
from model.parameters import Parameters
from model.pianoroll import Roll

SLICE_WORK = 1.5e9
"""Gibbs steps times weights between two looks at `on_step`: some 50 ms."""
BEST = DrawOptions(BEST_STEPS)
STEPS_OF_A_CONTEXT = 100
"""The memory and the recurrence cost a frame about as much as so many Gibbs steps."""


@dataclass
class GatedSampler:
    """`model.sampler.Sampler` says what its methods do; `start` is where the chains of an RBM start."""

    parameters: Parameters
    pieces: PieceMaker
    device: str
    kernel: str
    threads: int = 1
    start: Start = BEST_START
    calibrated: PieceMaker | None = None
    """What draws pieces freely, where the model has a calibration for that."""
    wary: bool = True
    """Whether frames of a free piece that loop, or are a cluster, are taken back."""

    def tutorial_way(self) -> "GatedSampler":
        """The same of the model itself, with chains that start from zeros."""
        return replace(self, start="zeros", calibrated=None, wary=False)

    def generate(
        self, length: int, seeds: Sequence[int], options: DrawOptions = BEST, *, primer: Roll | None = None
    ) -> Frames:
        """Frame t takes the same random numbers with a primer and without, unless it is drawn anew for a loop."""
        start = 0 if primer is None else len(primer)
        end = start + length
        maker = self.calibrated or self.pieces
        heard = maker.begin(1, end)
        rolls = np.empty((len(seeds), end, self.parameters.config.n_visible), np.bool_)
        if primer is not None:
            rolls[:, :start] = primer
            maker.hear(heard, end, primer)
        drawing = self._drawing(options.gibbs_steps, options.temperature * self._free("free_temperature", 1.0))
        most_notes = self._free("free_most", np.inf)
        n_frames = self._slice(options.gibbs_steps)

        def sample(index: int, report: Report) -> None:
            draft, fewest_left = Draft(maker, heard, rolls[index], start, most_notes), length
            while draft.frames_left:
                draft.go_on(drawing, seeds[index], n_frames, wary=self.wary)
                fewest_left = min(fewest_left, draft.frames_left)
                report(length - fewest_left)

        perform(sample, len(seeds), options.on_step, self.threads)
        return rolls

    def infill(self, source: Roll, kept: Roll, seeds: Sequence[int], options: DrawOptions = BEST) -> Frames:
        """By the particle filter of model.infilling; NADE's weights are exact, and its frames take no Gibbs steps.

        What is given keeps the piece from drifting: no calibration is needed, and none is taken.
        """
        n_frames = self._slice(2 * options.gibbs_steps + 1, options.particles)
        rolls = np.empty((len(seeds), *source.shape), np.bool_)
        drawing = self._drawing(options.gibbs_steps, options.temperature)

        def sample(index: int, report: Report) -> None:
            def before_frame(t: int) -> None:
                if t and t % n_frames == 0:
                    report(t)

            seed = seeds[index]
            own = _Particles(self.pieces, seed, options.particles, len(source), drawing)
            rolls[index] = fill_in(own, options.particles, source, kept, seed, before_frame)
            report(len(source))

        perform(sample, len(seeds), options.on_step, self.threads)
        return rolls

    def _free(self, name: str, otherwise: float) -> float:
        """A number of the calibration."""
        found = self.parameters.arrays.get(name) if self.calibrated else None
        return otherwise if found is None else float(found[0])

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
