"""The models that come with the program."""

import json
from pathlib import Path

import numpy as np
import pytest

from model.artefact import from_bytes
from model.conditionals import conditionals, log_probabilities
from model.kernel import best
from model.parameters import Parameters
from model.pianoroll import Roll
from model.sampler import sampler

ROOT = Path(__file__).parents[2]
BUNDLED = sorted((ROOT / "worker" / "bundled" / "models").iterdir())


@pytest.fixture(params=BUNDLED, ids=lambda folder: folder.name.removeprefix("0-"))
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def predictions(parameters: Parameters, roll: Roll) -> np.ndarray:  # type: ignore[type-arg]
    """What the model says of each frame, (frames, …)."""
    if parameters.config.kind == "lstm-nade":
        return log_probabilities(parameters, [roll], best())[:, None]
    c = conditionals(parameters, [roll], best())
    return np.concatenate([c.bv, c.bh], axis=1)


def test_it_is_small_and_has_a_card(folder: Path) -> None:
    record = json.loads((folder / "model.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    assert len(weights) == record["size"] <= 2_000_000
    assert from_bytes(weights).config.to_dict() == {**from_bytes(weights).config.to_dict(), **record["config"]}
    card = (ROOT / "docs" / "models" / f"{record['name']}.md").read_text()
    assert record["sha256"] in card


def test_no_later_frame_changes_what_it_says_of_an_earlier_one(folder: Path) -> None:
    parameters = from_bytes((folder / "model.safetensors").read_bytes())
    piece = sampler(parameters, "cpu", best()).generate(120, [5])[0]
    expected = predictions(parameters, piece)
    for t, key in ((3, 40), (64, 30), (119, 55)):
        flipped = piece.copy()
        flipped[t, key] ^= True
        found = predictions(parameters, flipped)
        earlier = t if parameters.config.kind == "lstm-nade" else t + 1  # the biases of frame t know nothing of it
        assert (found[:earlier] == expected[:earlier]).all()
        assert (found != expected).any() or t == 119
