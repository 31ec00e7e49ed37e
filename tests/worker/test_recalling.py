"""Jobs with an RNN-RBM whose pieces recall themselves: the bundled one."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from model.artefact import from_bytes
from model.kernel import best
from model.parameters import Parameters
from model.pianoroll import Roll
from model.sampler import sampler
from tests.worker.test_gated_models import Context
from tests.worker.test_training import train
from worker import jobs
from worker.cache import ModelCache
from worker.context import performing
from worker.protocol import GenerateParams, complete
from worker.runtime import Runtime
from worker.store import GENERATION, MODEL, ArtefactStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtefactStore:
    """A store, in a process set up for it."""
    store = ArtefactStore(str(tmp_path))
    kernel = best()
    monkeypatch.setattr("worker.runtime._runtime", Runtime(store, "cpu", kernel, ModelCache(store, "cpu", kernel)))
    return store


def parameters_of(store: ArtefactStore, key: str) -> Parameters:
    return from_bytes(store.file(MODEL, key, "model.safetensors"))


def generated(store: ArtefactStore, way: Literal["best", "tutorial"]) -> Roll:
    model = store.find_model("nottingham")
    job = complete(GenerateParams(model="nottingham", sampler=way, length=120), model, 3, None)
    with performing(Context(way)):
        assert jobs.generate(job.model_dump(mode="json"))["status"] == "succeeded"
    packed = np.frombuffer(store.file(GENERATION, way, "piece.roll"), np.uint8)
    return np.unpackbits(packed, count=120 * 88).reshape(-1, 88).view(np.bool_)


def test_pieces_recall_themselves_unless_they_are_drawn_the_tutorials_way(store: ArtefactStore) -> None:
    parameters = parameters_of(store, "0-nottingham")
    assert parameters.config.recall > 0
    recalling, itself = (
        sampler(p, "cpu", best()).generate(120, [3])[0] for p in (parameters, parameters.without_recall())
    )
    assert (recalling != itself).any()
    assert (generated(store, "best") == recalling).all()
    assert (generated(store, "tutorial") == itself).all()


def test_who_goes_on_from_such_a_model_finds_its_own_recall(store: ArtefactStore) -> None:
    """A training that ends before has none."""
    same = {"recipe": "fast", "n_hidden": None, "n_hidden_recurrent": None, "init_from": "0-nottingham"}
    train(store, "cancelled", lambda step: "cancel" if step == 1 else None, **same)
    assert store.record(MODEL, "cancelled")["status"] == "cancelled"
    assert parameters_of(store, "cancelled").config.recall == store.record(MODEL, "cancelled")["config"]["recall"] == 0
