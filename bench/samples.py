"""What a model samples against a folder of real pieces: the figures of a model card.

python -m bench.samples MODEL.safetensors FOLDER [--pieces 20]

First the monitor on the folder with chains of several lengths and starts: a chain that mixes scores the same from
zeros after 25 steps as after 2,500. Then free-running pieces of 200 frames beside the folder's own.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.artefact import from_bytes
from model.corpus import read_rolls
from model.kernel import best
from model.pianoroll import Roll
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import sampler
from model.task import probe

LENGTH = 200


def describe(rolls: Sequence[Roll]) -> str:
    """Notes a frame, share of frames equal to the one before, different frames a piece."""
    notes = np.concatenate([roll.sum(axis=1) for roll in rolls])
    held = np.mean([(roll[1:] == roll[:-1]).all(axis=1).mean() for roll in rolls])
    different = np.mean([len(np.unique(roll, axis=0)) for roll in rolls])
    return f"{notes.mean():6.2f} ± {notes.std():.2f} {held:8.3f} {different:10.0f}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=20)
    arguments = parser.parse_args()

    parameters = from_bytes(arguments.model.read_bytes())
    network = RnnRbmNetwork.from_parameters(parameters)
    files = sorted(arguments.folder.glob("*.mid"))
    rolls = read_rolls(((file.name, file.read_bytes()) for file in files), parameters.config)
    print(f"monitor, chains from the data, 15 steps: {probe(network, rolls, 'data', 15, best()):.2f}")
    for k in (25, 250, 2500):
        print(f"monitor, chains from zeros, {k} steps: {probe(network, rolls, 'zeros', k, best()):.2f}")

    print("                        notes a frame     held  different")
    print(f"the folder             {describe([roll[:LENGTH] for roll in rolls if len(roll) >= LENGTH])}")
    for temperature in (1.0, 0.9, 0.8):
        made = sampler(parameters, "cpu", best()).generate(LENGTH, range(arguments.pieces), temperature=temperature)
        print(f"temperature {temperature:g}, 25 steps {describe(made)}", flush=True)


if __name__ == "__main__":
    main()
