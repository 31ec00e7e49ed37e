"""What keeps a model's own pieces like its corpus: a bias for each key, and how loudly the memory speaks.

A model that is right about the next frame of real pieces drifts when it hears nothing but itself: its textures thin
out, and a theme that it takes up is lost at the first slip. Both are measured on pieces that it draws freely, and
corrected by some numbers: biases, by stochastic approximation, until each key sounds as often as in the corpus; the
gain of all that the pointers say, and if that is not enough a lower temperature, step by step until the pieces repeat
themselves as much, or no more for it. Beside them stands what in the corpus is the most notes at once, so that a
cluster is known for one. No likelihood takes them: they are for drawing freely alone.

An RNN-RBM neither drifts nor remembers. For it a gain alone is found, of what its pieces recall (model/recall.py).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.corpus import LONGEST_USUAL, PackedRolls
from model.draft import STRETCH
from model.draw_options import DEFAULT, DrawOptions
from model.drawing import steps_of
from model.kernel import Frames
from model.memory import POINTER_ROWS
from model.parameters import Array, Parameters, calibration_shapes
from model.pianoroll import Roll
from model.statistics import repetition

MOST_PIECES = 500
"""Of the corpus, whose beginnings are compared."""
PIECES, FEWEST = 32, 4
"""Pieces of a round; where the work allows fewer than so few, nothing is calibrated."""
FIRST, EACH, LAST = 10, 6, 32
"""Rounds before the first setting is judged, with each (of short pieces more), and with the chosen one, whose later
half is averaged."""
TEMPERATURES = (1.0, 0.95, 0.9, 0.85)
COLD = 0.8
"""For pieces that do not come near the corpus's repetition otherwise: it makes loops, and to leave them takes time."""
NEARLY = 2 / 3
GAINS = (1.0, 1.1, 1.2, 1.35, 1.5)
FALLEN = 0.7
"""Repetition beside the most that was found, at which a louder memory is known to make it worse."""
ENOUGH = 0.8
"""Of the corpus's repetition."""
MOST_WORK = 5e9
"""Gibbs steps times weights of a round: some tenths of a second."""
BALANCE, VOLUME = 0.1, 0.12
"""Step sizes: of the keys among each other, and of all together."""
MOST_BIAS = 3.0
SHARE = 0.05
"""Of the frames that counts as evidence, against one frame with the key and one without: neighbours are alike."""

RECALLS = (0.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Gains of what an RNN-RBM's pieces recall; beyond, they would play nothing but that."""
DENSITY = 0.1
"""How far the notes of a frame may be off for it, if they were not before."""

logger = logging.getLogger(__name__)


class Drawer(Protocol):
    """What draws pieces of a model."""

    def generate(self, length: int, seeds: Sequence[int], options: DrawOptions = ...) -> Frames:
        """A piece for each seed, (pieces, length, n_visible)."""
        ...


MakeSampler = Callable[[Parameters], Drawer]
Values = NDArray[np.float64]


def applied(parameters: Parameters) -> Parameters:
    """The model that pieces are drawn from freely: a calibration, if there is one, is in the parameters themselves."""
    arrays = dict(parameters.arrays)
    for name in ("free_temperature", "free_most"):  # they belong to the drawing
        arrays.pop(name, None)
    bias, gain = arrays.pop("free_bias", None), arrays.pop("free_gain", None)
    if bias is not None:
        arrays["bv"] = arrays["bv"] + bias
    if gain is not None:
        for name, rows in POINTER_ROWS.items():
            arrays[name] = arrays[name].copy()
            arrays[name][rows] *= gain
    return Parameters(parameters.config, arrays)


def calibrate(parameters: Parameters, rolls: PackedRolls, sampler: MakeSampler, seed: int = 0) -> Parameters:
    """The model with `free_bias` (n_visible,), `free_most` (1,) and, for a memory, `free_gain` and `free_temperature`.

    An RNN-RBM has the `recall` of its config instead. `sampler` makes what draws. A model too large to draw enough
    pieces in some seconds comes back without.
    """
    found = calibration_shapes(parameters.config)
    arrays = {name: array for name, array in parameters.arrays.items() if name not in found}
    bare = Parameters(replace(parameters.config, recall=0.0), arrays)
    length = _length(bare.config, rolls)
    n = min(PIECES, int(MOST_WORK / (length * steps_of(bare.config.kind, "best") * bare.arrays["W"].size)))
    if n < FEWEST:
        logger.info("not calibrated: a model of this size draws too few pieces in the time for it")
        return bare
    if bare.config.kind == "rnn-rbm":
        return _recalling(bare, _likeness(beginnings(rolls, length)), sampler, length, range(seed, seed + 2 * n))
    bare = Parameters(bare.config, {**bare.arrays, "free_most": np.array([_most_notes(rolls)], np.float32)})
    rounds = _Rounds(bare, sampler, _likeness(beginnings(rolls, length)), (n, length), seed)
    rounds.perform(Setting(), FIRST)
    setting = _most_alike(rounds) if bare.config.n_channels else Setting()
    rounds.perform(setting, LAST, step=0.5)
    return rounds.calibrated(setting, rounds.mean_bias(LAST // 2))


def _length(config: ModelConfig, rolls: PackedRolls) -> int:
    """Frames of the pieces that are compared: for what an RNN-RBM's recall, some times as far as that lies back."""
    if config.kind != "rnn-rbm":
        return rolls.usual_length
    far, _ = config.recalled_at
    return max(rolls.usual_length, min(4 * far, int(np.median(rolls.lengths))))


def beginnings(rolls: PackedRolls, length: int) -> list[Roll]:
    """The first frames of pieces, so many of each at most: (length, n_visible)."""
    return [rolls.frames(piece, 0, length) for piece in range(0, len(rolls), -(-len(rolls) // MOST_PIECES))]


@dataclass(frozen=True)
class Setting:
    """How a model with a memory draws freely."""

    gain: float = 1.0
    temperature: float = 1.0


def _most_alike(rounds: "_Rounds") -> Setting:
    """The first setting with which pieces repeat themselves enough, or else that with which they do it most."""
    chosen, most = Setting(), -1.0
    for temperature in (*TEMPERATURES, COLD):
        if temperature == COLD and most >= NEARLY * rounds.goal.repetition:
            break
        here = -1.0
        for gain in GAINS:
            setting = Setting(gain, temperature)
            found = rounds.perform(setting, rounds.n_to_judge)
            if found > most:
                chosen, most = setting, found
            if found >= ENOUGH * rounds.goal.repetition:
                return setting
            here = max(here, found)
            if found < FALLEN * here:
                break
    return chosen


@dataclass(frozen=True)
class _Likeness:
    """What is compared: how often each key sounds (n_visible,), and the pieces' mean repetition."""

    keys: Values
    repetition: float


def _recalling(
    bare: Parameters, goal: _Likeness, sampler: MakeSampler, length: int, seeds: Sequence[int]
) -> Parameters:
    """With the first recall by which pieces repeat themselves enough, or else that by which they do it most."""
    chosen, most, allowed = bare, -1.0, DENSITY
    for gain in RECALLS:
        recalling = Parameters(replace(bare.config, recall=gain), bare.arrays)
        found = _likeness(list(sampler(recalling).generate(length, seeds, DEFAULT)))
        off = abs(found.keys.sum() / max(goal.keys.sum(), 1e-3) - 1)
        if gain == 0:
            allowed = max(allowed, off)
        if off <= allowed and found.repetition > most:
            chosen, most = recalling, found.repetition
        if most >= ENOUGH * goal.repetition:
            break
    return chosen


def _likeness(rolls: Sequence[Roll]) -> _Likeness:
    return _Likeness(np.concatenate(rolls).mean(axis=0), float(np.mean([repetition(roll) for roll in rolls])))


def _most_notes(rolls: PackedRolls) -> float:
    """A frame, in the densest stretch of a piece, or in the piece if it is shorter; and a tenth more."""
    densest = 0.0
    for roll in (rolls.frames(piece) for piece in range(len(rolls))):
        sums = np.concatenate([[0], roll.sum(axis=1).cumsum()])
        n = min(STRETCH, len(roll))
        densest = max(densest, float((sums[n:] - sums[:-n]).max()) / max(n, 1))
    return 1.1 * densest


class _Rounds:
    """Rounds of drawing, after each of which the biases change."""

    def __init__(
        self, bare: Parameters, sampler: MakeSampler, goal: _Likeness, pieces: tuple[int, int], seed: int
    ) -> None:
        self._bare, self._sampler, self._next = bare, sampler, seed
        self._n, self._length = pieces
        self.n_to_judge = -(-EACH * LONGEST_USUAL // self._length)
        self.goal = goal
        self._biases = [np.zeros(bare.config.n_visible)]

    def perform(self, setting: Setting, rounds: int, step: float = 1.0) -> float:
        """The mean repetition in the later half of so many rounds."""
        found = []
        for _ in range(rounds):
            drawer = self._sampler(self.calibrated(setting, self._biases[-1]))
            seeds = range(self._next, self._next + self._n)
            steps = steps_of(self._bare.config.kind, "best")
            likeness = _likeness(list(drawer.generate(self._length, seeds, DrawOptions(gibbs_steps=steps))))
            change = step * _too_loud(likeness.keys, self.goal.keys, self._n * self._length)
            self._biases.append(np.clip(self._biases[-1] - change, -MOST_BIAS, MOST_BIAS))
            self._next += self._n
            found.append(likeness.repetition)
        return float(np.mean(found[rounds // 2 :]))

    def mean_bias(self, rounds: int) -> Values:
        """Of the latest rounds, (n_visible,)."""
        mean: Values = np.mean(self._biases[-rounds:], axis=0)
        return mean

    def calibrated(self, setting: Setting, bias: Values) -> Parameters:
        """The model with these."""
        arrays: dict[str, Array] = {**self._bare.arrays, "free_bias": bias.astype(np.float32)}
        if self._bare.config.n_channels:
            arrays["free_gain"] = np.array([setting.gain], np.float32)
            arrays["free_temperature"] = np.array([setting.temperature], np.float32)
        return Parameters(self._bare.config, arrays)


def _too_loud(found: Values, wanted: Values, n_frames: int) -> Values:
    """What to take off each key's bias, (n_visible,), given how often the keys sound and should.

    All keys together are a matter of their own: to a little more of all, the model answers with much more.
    """
    volume = np.clip(np.log(max(found.sum(), 1e-3) / max(wanted.sum(), 1e-3)), -1, 1)
    keys = np.clip(_log_odds(found, n_frames) - _log_odds(wanted, n_frames) - volume, -1, 1)
    change: Values = BALANCE * keys + VOLUME * volume
    return change


def _log_odds(share: Values, n_frames: int) -> Values:
    n = SHARE * n_frames
    odds: Values = np.log((share * n + 1) / ((1 - share) * n + 1))
    return odds
