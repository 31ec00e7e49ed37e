"""What a model samples against real pieces: the figures of a model card.

python -m bench.samples MODEL.safetensors PIECES [PIECES …] [--pieces 100] [--starts]

PIECES is a folder of MIDI files, or an .npz of benchmark rolls; pitch classes are compared with the first. Of an
RNN-RBM first the monitor with chains of several lengths and starts: a chain that mixes scores the same from zeros after
25 steps as after 2,500. Then pieces that are drawn freely, as long as the first real ones are in the middle, beside the
real ones cut to that length: as `POST /generate` draws them, and by the model itself, with no calibration and nothing
recalled. `--starts` draws by the model itself with other starts and lengths of the Gibbs chains, where it has any.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np

from model.artefact import from_bytes
from model.benchmark_rolls import read_benchmark_rolls
from model.calibration import beginnings
from model.config import ModelConfig
from model.corpus import PackedRolls, read_rolls
from model.draft import STRETCH, loop
from model.draw_options import DrawOptions
from model.drawing import BEST_START, Start, steps_of
from model.gated_sampler import GatedSampler
from model.kernel import best
from model.parameters import Parameters
from model.pianoroll import Roll
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import sampler
from model.statistics import describe
from model.task import probe

HEADER = "notes a frame | pitch classes | repetition (most) | loops | held | different | scale"


def read(path: Path, config: ModelConfig) -> PackedRolls:
    """The real pieces, as the model sees them."""
    if path.suffix == ".npz":
        with path.open("rb") as file:
            return read_benchmark_rolls(file, config)
    files = sorted(path.glob("*.mid"))
    return read_rolls(((file.name, file.read_bytes()) for file in files), config)


def row(rolls: Sequence[Roll], real: Sequence[Roll], low: int) -> str:
    """A line of the table: `HEADER`.

    Pitch classes by the share of notes that would have to be others, loops by the share of pieces that have one.
    """
    found, expected = describe(rolls, low), describe(real, low)
    classes = np.abs(found.distributions["pitch_class"] - expected.distributions["pitch_class"]).sum() / 2
    most = max(describe([roll], low).means.get("repetition", 0) for roll in rolls)
    held = np.mean([(roll[1:] == roll[:-1]).all(axis=1).mean() for roll in rolls])
    looping = np.mean([any(loop(roll[:end]) for end in range(STRETCH, len(roll) + 1, STRETCH)) for roll in rolls])
    different = np.mean([len(np.unique(roll, axis=0)) for roll in rolls])
    means = found.means
    return (
        f"{means['polyphony']:.2f} | {classes:.3f} | {means['repetition']:.3f} ({most:.2f}) | {looping:.2f} | "
        f"{held:.2f} | "
        f"{different:.0f} | {means['scale_consistency']:.3f}"
    )


def monitors(parameters: Parameters, rolls: PackedRolls) -> None:
    """Print the tutorial's monitor from several starts."""
    network = RnnRbmNetwork.from_parameters(parameters)
    print(f"monitor, chains from the data, 15 steps: {probe(network, rolls, 'data', 15, best()):.2f}")
    for k in (25, 250, 2500):
        print(f"monitor, chains from zeros, {k} steps: {probe(network, rolls, 'zeros', k, best()):.2f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("real", type=Path, nargs="+")
    parser.add_argument("--pieces", type=int, default=100)
    parser.add_argument("--starts", action="store_true")
    arguments = parser.parse_args()
    parameters = from_bytes(arguments.model.read_bytes())
    config, low = parameters.config, parameters.config.pitch_range[0]
    rolls, *others = (read(path, config) for path in arguments.real)
    if config.kind == "rnn-rbm":
        monitors(parameters, rolls)
    length = rolls.usual_length
    real = beginnings(rolls, length)
    print(f"{length} frames | {HEADER}")
    for path, pieces in zip(arguments.real, (real, *(beginnings(other, length) for other in others)), strict=True):
        print(f"{path.stem} | {row(pieces, real, low)}")
    drawer = sampler(parameters, "cpu", best())
    if arguments.starts and isinstance(drawer, GatedSampler):
        itself = drawer.tutorial_way()
        for start, steps in product(get_args(Start), (25, 100, 250)):
            made = replace(itself, start=start).generate(
                length, range(arguments.pieces), DrawOptions(gibbs_steps=steps)
            )
            print(f"itself, {start}, {steps} steps | {row(list(made), real, low)}", flush=True)
        return
    steps = steps_of(config.kind, "best")
    itself = drawer.tutorial_way()
    if isinstance(itself, GatedSampler):
        itself = replace(itself, start=BEST_START)
    for name, who in (("best", drawer), ("itself", itself)):
        for temperature in (1.0, 0.9):
            made = who.generate(
                length, range(arguments.pieces), DrawOptions(gibbs_steps=steps, temperature=temperature)
            )
            print(f"{name}, temperature {temperature:g} | {row(list(made), real, low)}", flush=True)


if __name__ == "__main__":
    main()
