"""The evaluate job, performed directly on a store."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artefact import to_bytes
from model.config import ModelConfig
from model.kernel import best
from model.parameters import Parameters, shapes
from tests.pieces import midi_file
from worker.cache import ModelCache
from worker.context import Interrupted, JobContext, Stop, performing
from worker.corpora import ingest
from worker.evaluation import evaluate
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import MODEL, ArtefactStore

CONFIG = ModelConfig(n_hidden=6, n_hidden_recurrent=5, dt=None, steps_per_beat=2)
QUICK = {"temperatures": 20, "pieces": 2}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A job on a stored model and a corpus of 64 frames, in a process set up for it."""
    store = ArtefactStore(str(tmp_path))
    random = np.random.default_rng(0)
    arrays = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes(CONFIG).items()}
    store.publish(MODEL, "m", {"id": "m"}, {"model.safetensors": to_bytes(Parameters(CONFIG, arrays))})
    corpus = ingest(store, [(f"{seed}.mid", BytesIO(midi_file(seed))) for seed in range(2)], Settings())
    kernel = best()
    monkeypatch.setattr("worker.runtime._runtime", Runtime(store, "cpu", kernel, ModelCache(store, "cpu", kernel)))
    return {"model": "m", "corpus": corpus["id"], **QUICK}


class Context(JobContext):
    """Hears the reports, and asks for a stop after some of them."""

    def __init__(self, stop: Stop | None = None, after: int = 0) -> None:
        super().__init__("job")
        self.reports: list[tuple[int, int]] = []
        self._stop = stop
        self._after = after

    def report(self, step: int, total: int, metrics: Mapping[str, float]) -> None:  # noqa: ARG002
        self.reports.append((step, total))

    def stop_requested(self) -> Stop | None:
        return self._stop if len(self.reports) >= self._after else None


def test_the_result_has_the_figures_and_what_made_them(params: dict[str, Any]) -> None:
    with performing(Context()) as context:
        outcome = evaluate(params)
    assert outcome["status"] == "succeeded"
    result = outcome["result"]
    assert -100 < result["log_likelihood"] < 0
    assert {"accuracy", "pseudo_log_likelihood", "log_likelihood_reverse", "device", "kernel", "seconds"} <= set(result)
    assert (result["model"], result["frames"], result["temperatures"], result["left_out"]) == ("m", 64, 20, [])
    assert set(result["music"]) == {"samples", "corpus", "overlap"}
    assert context.reports == [(0, 64), (64, 64)]


def test_a_cancelled_evaluation_has_no_result_and_a_stopped_one_runs_again(params: dict[str, Any]) -> None:
    for after in (0, 1, 2):  # while the corpus is read, before the likelihood, while pieces are sampled
        with performing(Context("cancel", after)):
            assert evaluate(params)["status"] == "cancelled"
        with performing(Context("shutdown", after)), pytest.raises(Interrupted):
            evaluate(params)
    assert evaluate(params)["status"] == "succeeded"


def test_what_is_not_there_is_a_problem_in_words(params: dict[str, Any]) -> None:
    for name in ("model", "corpus"):
        outcome = evaluate({**params, name: "none"})
        assert outcome["status"] == "failed"
        assert "'none'" in outcome["problem"]["detail"]
