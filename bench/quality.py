"""The rows of docs/quality.md: a model trained on one of the four benchmark sets and measured on its validation split.

python -m bench.quality DATA SET RECIPE [--model '{…}'] [--training '{…}'] [--teachers N] [--save FOLDER]
    [--without PART …]

DATA is a folder with SET-train.npz and SET-valid.npz. RECIPE is one of model.config.RECIPES; `--model` and
`--training` change its settings; so many teachers are trained first, as the model but for their seeds. One line of
JSON says what was trained, for how long, and how well it predicts: by NADE the exact log-likelihood of all frames, by
an RBM annealed importance sampling from both sides on so many random frames. FOLDER gets the files of a bundled
model; what is measured is what is saved, with a gated recurrence calibrated for drawing and in half precision.
"""

import argparse
import hashlib
import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.samples import read
from model.artefact import from_bytes, to_bytes
from model.calibration import calibrate
from model.conditionals import conditionals, log_probabilities
from model.config import PIANO, RECIPES, ModelConfig, TrainingConfig
from model.corpus import PackedRolls, statistics
from model.curve import curve_png
from model.kernel import best
from model.likelihood import Annealing, annealer, log_likelihood
from model.memory import MOVED, POINTER_ROWS, POINTER_SCALARS
from model.network import Network
from model.networks import new_network
from model.parameters import Parameters
from model.sampler import gated_sampler
from model.training import TrainingState, initial_state, keeping, train

TEMPI = {"nottingham": 240.0, "piano-midi": 240.0, "musedata": 240.0, "jsb-chorales": 100.0}
"""Frames a minute of the pieces that a model makes: a frame is an eighth note, a chorale's a quarter."""


POSITION = slice(POINTER_SCALARS.stop, MOVED)
PARTS: dict[str, list[tuple[str, Any]]] = {
    "pointers": list(POINTER_ROWS.items()),
    "position": [("Wsu", POSITION), ("Wsg", POSITION)],
    "moved": [("Wsu", [MOVED]), ("Wsg", [MOVED])],
    "traces": [("conv", [1, 6, 7, 8, 9])],
    "tied": [("out", slice(None))],
    "chords": [("below", slice(12, None))],
}
"""Parts of a memory: which rows of which parameters are theirs."""


def measure(parameters: Parameters, rolls: PackedRolls, frames: int, temperatures: int, chains: int) -> dict[str, Any]:
    """Log-likelihood in nats a frame, a mean over all frames, or over some at random."""
    kernel = best()
    if parameters.config.kind == "lstm-nade":
        return {"log_likelihood": round(float(log_probabilities(parameters, rolls[:], kernel).mean()), 4)}
    c = conditionals(parameters, rolls[:], kernel)
    c = c.take(np.random.default_rng(0).permutation(len(c))[:frames])
    found = log_likelihood(annealer("cpu", kernel), c, Annealing(temperatures, chains), 0)
    reverse = [float(x.mean()) for x in (found.reverse_from_data, found.reverse_from_zeros)]
    error = float(found.forward.std() / np.sqrt(len(c)))
    return {
        "log_likelihood": round(float(found.forward.mean()), 4),
        "log_likelihood_reverse": round(min(reverse), 4),
        "reverse_from_data": round(reverse[0], 4),
        "reverse_from_zeros": round(reverse[1], 4),
        "frames": len(c),
        "standard_error": round(error, 3),
    }


def leave_out(network: Network, parts: list[str]) -> None:
    """Keep the weights of parts of a memory at zero, which is as if they were not there."""
    parameters = dict(network.named_parameters())
    for part in parts:
        for name, rows in PARTS[part]:
            mask = torch.ones_like(parameters[name])
            mask[rows] = 0
            parameters[name].data *= mask
            parameters[name].register_hook(lambda gradient, mask=mask: gradient * mask)


def teacher(config: ModelConfig, training: TrainingConfig, rolls: PackedRolls) -> Parameters:
    """A model that is trained by itself."""
    state = initial_state(new_network(config, training.seed), training, best())
    train(state, rolls, training)
    with keeping(state) as network:
        return network.to_parameters()


def files_of(
    name: str, about: dict[str, Any], state: TrainingState, training: TrainingConfig, weights: bytes
) -> dict[str, bytes]:
    """What the store keeps of a model."""
    record = {
        "id": f"0-{name}",
        "name": name,
        "description": None,
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "init_from": None,
        "config": state.network.config.to_dict(),
        "training": training.to_dict(),
        "metrics": state.history,
        "device": "cpu",
        "kernel": getattr(best(), "name", "torch"),
        "size": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "best_epoch": None,
        **about,
        "reached": state.history[-1],
        "status": "succeeded",
    }
    return {
        "model.safetensors": weights,
        "model.json": json.dumps(record).encode(),
        "curve.png": curve_png(state.history, title=name),
    }


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("set")
    parser.add_argument("recipe")
    parser.add_argument("--model", type=json.loads, default={})
    parser.add_argument("--training", type=json.loads, default={})
    parser.add_argument("--teachers", type=int, default=0)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--temperatures", type=int, default=3000)
    parser.add_argument("--chains", type=int, default=1)
    parser.add_argument("--without", nargs="*", default=[], choices=PARTS)
    arguments = parser.parse_args()
    if arguments.teachers and (arguments.without or arguments.training.get("validation")):
        parser.error("teachers know all parts, and hear all pieces")
    return arguments


def main() -> None:
    """Train, measure, print."""
    arguments = parsed()
    torch.set_num_threads(1)  # so that models are trained side by side
    recipe = RECIPES[arguments.recipe]
    config = replace(recipe.model, dt=None, steps_per_beat=1, tonality="own", **arguments.model)
    training = replace(recipe.training, **({"validation": 0.0} | arguments.training))
    rolls, unheard = (read(arguments.data / f"{arguments.set}-{split}.npz", config) for split in ("train", "valid"))
    some = PackedRolls.pack(unheard[:: max(1, unheard.n_frames // 10_000)], 88)
    began, cpu = time.perf_counter(), time.process_time()

    def on_epoch(state: TrainingState) -> None:
        if state.epoch % max(1, training.epochs // 10) == 0:
            with keeping(state) as network:
                now = measure(network.to_parameters(), some, 200, 200, 1)
            state.history[-1]["validation"] = now.get("log_likelihood_reverse", now["log_likelihood"])
            print(f"{time.process_time() - cpu:.0f} s", state.history[-1], now, file=sys.stderr, flush=True)

    alone = replace(training, distillation=0.0)
    teachers = [teacher(config, replace(alone, seed=alone.seed + 1 + i), rolls) for i in range(arguments.teachers)]
    state = initial_state(new_network(config, training.seed), training, best(), teachers=teachers)
    leave_out(state.network, arguments.without)
    train(state, rolls, training, on_epoch=on_epoch)
    trained = {"wall_seconds": round(time.perf_counter() - began), "cpu_seconds": round(time.process_time() - cpu)}
    gated = config.kind != "rnn-rbm"
    with keeping(state) as network:
        weights = to_bytes(network.to_parameters(), half=gated)
    if arguments.save and gated:
        drawn = calibrate(from_bytes(weights), rolls, lambda drawn: gated_sampler(drawn, "cpu", best()))
        weights = to_bytes(drawn, half=True)
    parameters = from_bytes(weights)
    found = measure(parameters, unheard, arguments.frames, arguments.temperatures, arguments.chains)
    if arguments.save:
        corpus = {"name": arguments.set, "tempo": TEMPI[arguments.set], **statistics(rolls, PIANO[0])}
        about = {"recipe": arguments.recipe, "teachers": arguments.teachers, "corpus": corpus}
        files = files_of(arguments.save.name, about, state, training, weights)
        arguments.save.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (arguments.save / name).write_bytes(data)
    settings = {name: getattr(arguments, name) for name in ("model", "training", "teachers", "without")}
    print(json.dumps({"set": arguments.set, "recipe": arguments.recipe, **settings, **trained, **found}))


if __name__ == "__main__":
    main()
