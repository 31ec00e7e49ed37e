"""The tutorial's training at its own settings, epoch by epoch, beside the figures that the tutorial reports.

python -m bench.tutorial FOLDER [--epochs 200] [--json FILE]

One thread. The folder holds the MIDI files of Nottingham's training set.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from model.config import RECIPES
from model.corpus import read_rolls
from model.kernel import best
from model.rnn_rbm import RnnRbmNetwork
from model.training import TrainingState, initial_state, train

PUBLISHED = {1: -15.03, 2: -10.49, 5: -9.70, 10: -8.17, 200: -4.73}
"""Monitor by epoch, from the tutorial's page; at 198 it has -inf. About 24 hours for 200 epochs."""


def main() -> None:
    """Train and print a row for each epoch that the tutorial reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--json", type=Path, help="file for the metrics of every epoch")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    recipe = RECIPES["tutorial"]
    config = replace(recipe.training, epochs=arguments.epochs)
    rolls = read_rolls(((f.name, f.read_bytes()) for f in sorted(arguments.folder.glob("*.mid"))), recipe.model)
    print(f"{len(rolls)} pieces, {sum(map(len, rolls))} frames")
    print("epoch  monitor  published  from zeros    wall s     CPU s")
    cpu = time.process_time()

    def on_epoch(state: TrainingState) -> None:
        epoch, row = state.epoch, state.history[-1]
        if epoch in PUBLISHED or epoch % 20 == 0:
            published = f"{PUBLISHED[epoch]:.2f}" if epoch in PUBLISHED else ""
            seconds = f"{row['seconds']:9.1f} {time.process_time() - cpu:9.1f}"
            print(f"{epoch:5d} {row['monitor']:8.4f} {published:>10} {row['zero_start']:11.4f} {seconds}", flush=True)

    state = initial_state(RnnRbmNetwork(recipe.model, torch.Generator().manual_seed(config.seed)), config, best())
    train(state, rolls, config, on_epoch=on_epoch)
    if arguments.json:
        arguments.json.write_text(json.dumps(state.history, indent=1))


if __name__ == "__main__":
    main()
