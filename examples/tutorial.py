"""The tutorial, start to finish: train on a folder of MIDI files, write two samples and their piano-rolls.

python examples/tutorial.py FOLDER [--epochs 200] [--out .]
"""

import argparse
from pathlib import Path

from matplotlib import pyplot as plt

from model import RnnRbm


def main() -> None:
    """Train, generate, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of .mid files")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path())
    arguments = parser.parse_args()

    model = RnnRbm()
    model.train(sorted(arguments.folder.glob("*.mid")), batch_size=100, num_epochs=arguments.epochs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for sample in ("sample1", "sample2"):
        model.generate(arguments.out / f"{sample}.mid")
        plt.savefig(arguments.out / f"{sample}.png")
    plt.show()


if __name__ == "__main__":
    main()
