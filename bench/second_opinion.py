"""Partition functions by this project and by the package `rbms`, on the same RBMs: those of frames of real pieces.

    pip install --no-deps --target DIR rbms==0.5.0 h5py tqdm
    PYTHONPATH=DIR python -m bench.second_opinion MODEL.safetensors ROLLS.npz [--frames 20]

`rbms` knows one pair of biases an RBM, so it takes the frames one by one; its path scales the hidden biases too, and
it works in another order, so that the two have nothing in common but the definition. MODEL and ROLLS as `rnnrbm
conditionals` takes them.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.partition_function.ais import compute_partition_function_ais

from model.artefact import from_bytes
from model.benchmark_rolls import read_benchmark_rolls
from model.conditionals import Conditionals, conditionals
from model.kernel import best
from model.likelihood import Annealing, annealer, free_energies, log_likelihood

TEMPERATURES, CHAINS = 3000, 100


def frames_of(model: Path, rolls: Path, n: int) -> Conditionals:
    """The conditionals of frames drawn at random."""
    parameters = from_bytes(model.read_bytes())
    with rolls.open("rb") as file:
        c = conditionals(parameters, list(read_benchmark_rolls(file, parameters.config)), best())
    return c.take(np.random.default_rng(0).choice(len(c), n, replace=False))


def theirs(c: Conditionals) -> np.ndarray:
    """log Z of each frame's RBM by `rbms`."""
    rbms = (BBRBM(*map(torch.from_numpy, (c.W, bv, bh))) for bv, bh in zip(c.bv, c.bh, strict=True))
    return np.array([compute_partition_function_ais(CHAINS, TEMPERATURES, rbm) for rbm in rbms])


def main() -> None:
    """Print what both say, and how long they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("rolls", type=Path)
    parser.add_argument("--frames", type=int, default=20)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(0)
    c = frames_of(arguments.model, arguments.rolls, arguments.frames)
    started = time.perf_counter()
    ours = log_likelihood(annealer("cpu", best()), c, Annealing(TEMPERATURES, CHAINS), seed=0)
    between = time.perf_counter()
    other = -free_energies(c) - theirs(c)
    ended = time.perf_counter()

    print(f"{len(c)} frames, {TEMPERATURES} temperatures, {CHAINS} chains; mean log-likelihood in nats per frame")
    print(f"ours, forward     {ours.forward.mean():.4f}  (with both reverse estimates {between - started:.1f} s)")
    print(f"ours, reverse     {ours.reverse_from_data.mean():.4f} from data")
    print(f"                  {ours.reverse_from_zeros.mean():.4f} from zeros")
    print(f"rbms              {other.mean():.4f}  ({ended - between:.1f} s)")
    print(f"largest difference of a frame, ours forward and rbms: {np.abs(ours.forward - other).max():.4f}")


if __name__ == "__main__":
    main()
