"""The train job, performed directly on a store: what it shows of itself while it runs, and what it goes on from."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from model.artefact import from_bytes
from model.calibration import MakeSampler
from model.corpus import PackedRolls
from model.kernel import best
from model.parameters import Parameters
from tests.pieces import midi_file
from worker import training
from worker.cache import ModelCache
from worker.context import Interrupted, JobContext, Stop, performing
from worker.corpora import ingest
from worker.errors import NotFoundError
from worker.models import SnapshotParams, keep_snapshot
from worker.options import RecipeOptions
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import MODEL, ArtefactStore

SMALL = {"recipe": "tutorial", "epochs": 4, "n_hidden": 6, "n_hidden_recurrent": 5, "steps_per_beat": 2}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtefactStore:
    """A store, in a process set up for trainings that save themselves before each update."""
    store = ArtefactStore(str(tmp_path))
    kernel = best()
    monkeypatch.setattr("worker.runtime._runtime", Runtime(store, "cpu", kernel, ModelCache(store, "cpu", kernel)))
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    return store


class Context(JobContext):
    """Calls `on_report` with each finished epoch; a stop that it gives holds from then on."""

    def __init__(self, job_id: str, on_report: Callable[[int], Stop | None]) -> None:
        super().__init__(job_id)
        self._on_report = on_report
        self._stop: Stop | None = None

    def report(self, step: int, total: int, metrics: Mapping[str, float]) -> None:  # noqa: ARG002
        self._stop = self._stop or self._on_report(step)

    def stop_requested(self) -> Stop | None:
        return self._stop


def train(
    store: ArtefactStore, job_id: str, on_report: Callable[[int], Stop | None] = lambda _: None, **params: Any
) -> dict[str, Any]:
    corpus = ingest(store, [(f"{seed}.mid", BytesIO(midi_file(seed))) for seed in range(3)], Settings())
    with performing(Context(job_id, on_report)):
        said = {name: value for name, value in {**SMALL, **params}.items() if value is not None}
        return training.train({**said, "corpus": corpus["id"]})


def test_a_training_that_runs_can_be_kept_as_it_is(store: ArtefactStore) -> None:
    kept: list[dict[str, Any]] = []

    def keep(step: int) -> None:
        if step == 0:
            with pytest.raises(NotFoundError, match="no running training"):
                keep_snapshot(store, SnapshotParams(job="j1"))
        if step == 3:
            kept.append(keep_snapshot(store, SnapshotParams(job="j1", name="so far")))

    assert train(store, "j1", keep)["status"] == "succeeded"
    (record,) = kept
    assert store.find_model("so far") == record
    assert [row["epoch"] for row in record["metrics"]] == [1, 2]  # saved within the third epoch
    assert (record["snapshot_of"], record["status"]) == ("j1", "running")
    weights = store.file(MODEL, record["id"], "model.safetensors")
    assert from_bytes(weights).config.n_hidden == 6
    assert weights != store.file(MODEL, "j1", "model.safetensors")
    with pytest.raises(NotFoundError):  # it has ended, and its model is there
        keep_snapshot(store, SnapshotParams(job="j1"))


def test_a_fine_tuning_that_was_interrupted_goes_on_without_its_parent(store: ArtefactStore) -> None:
    train(store, "parent")
    assert train(store, "whole", init_from="parent")["status"] == "succeeded"
    with pytest.raises(Interrupted):
        train(store, "child", lambda step: "shutdown" if step == 2 else None, init_from="parent")
    store.delete(MODEL, "parent")
    assert train(store, "child", init_from="parent")["status"] == "succeeded"
    whole, child = (store.file(MODEL, key, "model.safetensors") for key in ("whole", "child"))
    assert whole == child
    assert store.record(MODEL, "child")["init_from"] == "parent"


def test_a_parent_that_is_gone_is_a_problem_in_words(store: ArtefactStore) -> None:
    outcome = train(store, "child", init_from="none")
    assert outcome["status"] == "failed"
    assert "'none'" in outcome["problem"]["detail"]


def test_a_corpus_with_no_options_gets_all_that_a_model_should_have(store: ArtefactStore) -> None:
    """But for sizes and time, which make the test last longer."""
    quick = {"recipe": None, "epochs": 3, "steps_per_beat": None}
    assert train(store, "j1", **quick)["status"] == "succeeded"
    record = store.record(MODEL, "j1")
    assert record["recipe"] == "fast"
    assert (record["config"]["tonality"], record["config"]["steps_per_beat"]) == ("common", 2)
    assert (record["training"]["validation"], record["training"]["patience"]) == (0.1, 10)
    assert all(row["validation"] < 0 for row in record["metrics"])
    reached = record["reached"]
    assert reached["epoch"] == record["best_epoch"]
    assert {"validation", "log_likelihood", "log_likelihood_reverse", "standard_error", "accuracy"} <= reached.keys()
    assert reached["log_likelihood"] == pytest.approx(reached["log_likelihood_reverse"], abs=0.5)
    assert store.file(MODEL, "j1", "curve.png").startswith(b"\x89PNG")


def test_a_training_ends_with_what_its_pieces_recall(store: ArtefactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the model's file and in its record; of such a small model that is nothing, here it is."""

    def calibrate(parameters: Parameters, rolls: PackedRolls, make: MakeSampler) -> Parameters:
        assert make(parameters).generate(3, [1]).shape == (1, 3, rolls.n_visible)
        return Parameters(replace(parameters.config, recall=2.5), parameters.arrays)

    monkeypatch.setattr("worker.training.calibrate", calibrate)
    assert train(store, "j1", epochs=1)["status"] == "succeeded"
    assert store.record(MODEL, "j1")["config"]["recall"] == 2.5
    assert from_bytes(store.file(MODEL, "j1", "model.safetensors")).config.recall == 2.5


def test_the_best_epoch_is_published_whenever_the_training_ends(store: ArtefactStore) -> None:
    """A rate that is far too high: after the first epochs all gets worse."""
    wild = {"recipe": "fast", "lr": 0.5, "schedule": "constant", "pretraining": 0, "epochs": 15, "clip_norm": 0}
    assert train(store, "early", **wild, patience=4)["status"] == "succeeded"
    early = store.record(MODEL, "early")
    scores = [row["validation"] for row in early["metrics"]]
    assert early["best_epoch"] == scores.index(max(scores)) + 1 == len(scores) - 4
    outcome = train(store, "cancelled", lambda step: "cancel" if step == len(scores) else None, **wild, patience=0)
    assert outcome["status"] == "cancelled"
    assert store.record(MODEL, "cancelled")["best_epoch"] == early["best_epoch"]
    files = [store.file(MODEL, key, "model.safetensors") for key in ("early", "cancelled")]
    assert files[0] == files[1]


def test_every_option_comes_to_the_recipe(store: ArtefactStore) -> None:
    said = {
        "tonality": "common", "learn_u0": True, "validation": 0.5, "patience": 7, "optimizer": "sgd", "momentum": 0.9,
        "lr_rbm": 0.02, "schedule": "cosine", "average": 0.9, "clip_norm": 2.0, "n_parallel": 2, "chain_start": "zeros",
        "initialization": "scaled", "rbm_pretraining": 3, "pretraining": 0.5, "input_dropout": 0.1, "transpose": 2,
        "channel_dropout": 0.1, "state_dropout": 0.2, "slips": 0.1, "stretch": 8, "transposed": 0.5, "split": 0.5,
    }  # fmt: skip
    assert RecipeOptions.model_fields.keys() == said.keys()
    assert train(store, "j1", **said)["status"] == "succeeded"
    record = store.record(MODEL, "j1")
    assert {**record["config"], **record["training"]}.items() >= said.items()
    assert from_bytes(store.file(MODEL, "j1", "model.safetensors")).arrays["u0"].any()
