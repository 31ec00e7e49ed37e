"""Pop files, with drums and several tracks, through a service's jobs: they come to pieces like themselves."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from model.config import ModelConfig
from model.corpus import read_rolls
from tests.pop import song
from worker import jobs, training
from worker.context import JobContext, performing
from worker.corpora import ingest
from worker.protocol import GenerateParams, Kind, complete
from worker.rendering import frames_of, pieces_of
from worker.runtime import prepare
from worker.settings import Settings
from worker.store import GENERATION, MODEL, ArtefactStore

QUICK = {"epochs": 10, "n_hidden": 60, "n_hidden_recurrent": 60}
"""Else nothing is said; with all that the recipe takes, it takes longer."""


def test_pop_comes_to_pieces_as_dense_as_itself_neither_silence_nor_clusters(tmp_path: Path) -> None:
    songs = [(f"{seed}.mid", song(seed)) for seed in range(12)]
    settings = Settings(data=str(tmp_path), device="cpu")
    store = ArtefactStore(settings.data)
    corpus = ingest(store, [(name, BytesIO(data)) for name, data in songs], settings)
    prepare(Kind.TRAIN, settings)
    with performing(JobContext("pop")):
        assert training.train({**QUICK, "corpus": corpus["id"]})["status"] == "succeeded"
    job = complete(GenerateParams(model="pop", n=20, length=96), store.record(MODEL, "pop"), 0)
    with performing(JobContext("pieces")):
        assert jobs.generate(job.model_dump(mode="json"))["status"] == "succeeded"

    rolls = read_rolls(songs, ModelConfig.from_dict(store.record(MODEL, "pop")["config"]))
    there = np.concatenate([roll.sum(axis=1) for roll in rolls])
    pieces = pieces_of(store.record(GENERATION, "pieces"))
    made = np.array([[len(frame) for frame in frames_of(store, piece)] for piece in pieces])
    assert made.mean() == pytest.approx(there.mean(), rel=0.25)
    assert (made.mean(axis=1) > there.mean() / 2).all()
    assert (made.mean(axis=1) < there.mean() * 2).all()
    assert (made == 0).mean() < 0.05
    assert (made > 2 * there.mean()).mean() < 0.05
