"""Ways of filling in a piece, by the likelihood of what they make.

python -m bench.infilling FOLDER [--pieces 20]

FOLDER has the folders train and valid of MIDI files. A model is trained on the first by the recipe `fast`, at a frame
to the beat: a minute. Of pieces of the second either the highest voice is kept, or all but the middle third of the
frames. The rest is filled in by

- the piece itself: what the composer wrote;
- another piece: its lower voices, or its frames;
- key frequencies: a cell sounds as often as its key does in the training set;
- one particle: from left to right, each frame given the frames before it and its own kept cells;
- Metropolis sweeps over what one particle made: a frame is proposed in the same way, and taken or not by how likely it
  makes the frames after it. Their likelihoods need partition functions, which a sample of these frames under either
  state stands in for (the exchange algorithm; Murray, Ghahramani and MacKay 2006);
- a particle filter of several sizes: model.infilling, what the service does.

The log-likelihood of the whole piece, kept cells and all, is in nats a frame, by annealed importance sampling, which
estimates it from above and from below, ± its standard error over pieces. `better` counts the pieces that are more
likely than the same with another piece's voices or frames. Seconds are those of one piece on one core.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.conditionals import conditionals
from model.config import RECIPES, ModelConfig
from model.corpus import PackedRolls, read_rolls
from model.draw_options import DrawOptions
from model.generation import clamped_chain
from model.infilling import penalties
from model.kernel import best
from model.likelihood import Annealing, annealer, log_likelihood
from model.parameters import Parameters
from model.pianoroll import Roll
from model.rbm import free_energy, gibbs_chain
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import sampler
from model.training import initial_state, train

MODEL = replace(RECIPES["fast"].model, steps_per_beat=1)
SCORING = Annealing(temperatures=300)
GIBBS_STEPS = 25
HORIZON = 8
"""Frames after a proposed one that a sweep looks at."""

Fill = Callable[[Roll, Roll, int], Roll]
"""From a source, what is kept of it, both (frames, n_visible), and the piece's number: the piece."""


class Task(NamedTuple):
    """What is kept of a piece, and what of another piece can stand in for the rest."""

    kept: Callable[[Roll], Roll]
    stand_in: Callable[[Roll], Roll]


def highest_voice(roll: Roll) -> Roll:
    """The highest sounding cell of each frame."""
    highest = roll.shape[1] - 1 - np.argmax(roll[:, ::-1], axis=1)
    return roll & (np.arange(roll.shape[1]) == highest[:, None])


def outer_thirds(roll: Roll) -> Roll:
    """All cells of the first and the last third of the frames."""
    kept = np.ones_like(roll)
    kept[len(roll) // 3 : len(roll) - len(roll) // 3] = False
    return kept


TASKS = {
    "the highest voice is kept": Task(highest_voice, lambda roll: roll & ~highest_voice(roll)),
    "the middle third is free": Task(outer_thirds, lambda roll: roll),
}


def another_piece(pieces: Sequence[Roll], task: Task, source: Roll, kept: Roll, number: int) -> Roll:
    """The next piece's cells, from its beginning on, and over again where it is shorter."""
    stand_in = task.stand_in(pieces[(number + 1) % len(pieces)])
    return np.where(kept, source, np.resize(stand_in, source.shape))


def key_frequencies(training: PackedRolls, source: Roll, kept: Roll, number: int) -> Roll:
    """Every free cell by itself."""
    frequency = training.notes_by_key() / training.n_frames
    return np.where(kept, source, np.random.default_rng(number).random(source.shape) < frequency)


def particle_filter(parameters: Parameters, particles: int, source: Roll, kept: Roll, number: int) -> Roll:
    """What the service does."""
    filled = sampler(parameters, "cpu", best()).infill(
        source, kept, [number], DrawOptions(gibbs_steps=GIBBS_STEPS, particles=particles)
    )
    return filled[0]


@torch.no_grad()
def sweeps(parameters: Parameters, times: int, source: Roll, kept: Roll, number: int) -> Roll:
    """Metropolis sweeps from the first frame to the last, so many times."""
    network = RnnRbmNetwork.from_parameters(parameters)
    generator = torch.Generator().manual_seed(number)
    piece = torch.from_numpy(particle_filter(parameters, 1, source, kept, number)).to(network.W)
    for _ in range(times):
        u = network.initial_state(1)
        for t in range(len(piece)):
            costs = penalties(GIBBS_STEPS, kept[t])
            proposed, _ = clamped_chain(
                network.W, *network.conditional_biases(u), kept[t], source[t], costs, GIBBS_STEPS, generator
            )
            if _is_taken(network, u, proposed, piece[t : t + 1 + HORIZON], generator):
                piece[t] = proposed[0]
            u = network.next_state(piece[t : t + 1], u)
    return piece.bool().numpy()


def _is_taken(network: RnnRbmNetwork, u: Tensor, proposed: Tensor, frames: Tensor, generator: torch.Generator) -> bool:
    """Whether a proposal (1, n_visible) takes the place of the first of the frames, by what it means for the others."""
    later = frames[1:]
    if not len(later):
        return True
    now, then = (_biases_after(network, u, torch.cat([first, later[:-1]])) for first in (frames[:1], proposed))
    other = gibbs_chain(torch.zeros_like(later), network.W, *then, GIBBS_STEPS, generator)
    gain = _sum_of_energies(network, later, now) - _sum_of_energies(network, later, then)
    expected = _sum_of_energies(network, other, now) - _sum_of_energies(network, other, then)
    return bool(torch.rand(1, generator=generator).log() < gain - expected)


def _biases_after(network: RnnRbmNetwork, u: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Biases that follow each of the frames (frames, n_visible), where `u` is the state before the first."""
    states = []
    for v in frames:
        u = network.next_state(v[None], u)
        states.append(u)
    return network.conditional_biases(torch.cat(states))


def _sum_of_energies(network: RnnRbmNetwork, v: Tensor, biases: tuple[Tensor, Tensor]) -> Tensor:
    return free_energy(v, network.W, *biases).sum()


def learn(rolls: PackedRolls) -> Parameters:
    """A model of the training set."""
    recipe = RECIPES["fast"].training
    network = RnnRbmNetwork(MODEL, torch.Generator().manual_seed(recipe.seed))
    train(initial_state(network, recipe, best()), rolls, recipe)
    return network.to_parameters()


class Score(NamedTuple):
    """Log-likelihood in nats a frame: from above, from below, and the mean of both of each piece, (pieces,)."""

    above: float
    below: float
    pieces: np.ndarray[tuple[int], np.dtype[np.float64]]


def score(parameters: Parameters, rolls: Sequence[Roll]) -> Score:
    """How likely pieces are."""
    found = log_likelihood(annealer("cpu", best()), conditionals(parameters, rolls, best()), SCORING, seed=0)
    below = min(found.reverse_from_data, found.reverse_from_zeros, key=np.mean)
    ends = np.cumsum([len(roll) for roll in rolls])[:-1]
    pieces = np.array([part.mean() for part in np.split((found.forward + below) / 2, ends)])
    return Score(float(found.forward.mean()), float(below.mean()), pieces)


def compare(parameters: Parameters, training: PackedRolls, pieces: Sequence[Roll], task: Task) -> None:
    """Print the table of one task."""
    stand_in = partial(another_piece, pieces, task)
    ways: dict[str, Fill] = {
        "the piece itself": lambda source, _kept, _number: source,
        "another piece": stand_in,
        "key frequencies": partial(key_frequencies, training),
        "one particle": partial(particle_filter, parameters, 1),
        "1 Metropolis sweep": partial(sweeps, parameters, 1),
        "10 Metropolis sweeps": partial(sweeps, parameters, 10),
        **{f"{n} particles": partial(particle_filter, parameters, n) for n in (8, 32, 128)},
    }
    cells = [task.kept(piece) for piece in pieces]
    reference = score(parameters, [stand_in(*args) for args in zip(pieces, cells, range(len(pieces)), strict=True)])
    for name, fill in ways.items():
        started = time.perf_counter()
        made = [fill(piece, kept, number) for number, (piece, kept) in enumerate(zip(pieces, cells, strict=True))]
        seconds = (time.perf_counter() - started) / len(pieces)
        found = score(parameters, made)
        error = found.pieces.std(ddof=1) / np.sqrt(len(pieces))
        better = int((found.pieces > reference.pieces).sum())
        notes = np.concatenate(made).sum(axis=1).mean()
        print(
            f"{name:22} {found.above:7.2f} {found.below:7.2f} ±{error:5.2f} {better:7} {notes:7.2f} {seconds:9.3f}",
            flush=True,
        )


def main() -> None:
    """Train, then print a table for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=20)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    training = _read(arguments.folder / "train", MODEL)
    pieces = _read(arguments.folder / "valid", MODEL)[: arguments.pieces]
    parameters = learn(training)
    for name, task in TASKS.items():
        print(f"\n{name:22}   above   below          better   notes   seconds")
        compare(parameters, training, pieces, task)


def _read(folder: Path, config: ModelConfig) -> PackedRolls:
    return read_rolls(((file.name, file.read_bytes()) for file in sorted(folder.glob("*.mid"))), config)


if __name__ == "__main__":
    main()
