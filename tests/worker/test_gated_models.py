"""Models with a gated recurrence in jobs: brought from elsewhere, played, filled in, evaluated and gone on from."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.artefact import from_bytes, to_bytes
from model.conditionals import conditionals, log_probabilities
from model.config import ModelConfig
from model.kernel import Kernel, best
from model.likelihood import piece_log_likelihood
from model.parameters import Parameters, shapes
from model.pianoroll import Roll
from tests.pieces import midi_file, piece
from worker import jobs, training
from worker.cache import ModelCache
from worker.context import Interrupted, JobContext, Stop, performing
from worker.corpora import ingest
from worker.errors import UploadError
from worker.evaluation import evaluate
from worker.given_files import GivenFile, read_given
from worker.models import ImportParams, complete_training, take_in
from worker.offline import write_conditionals
from worker.protocol import GenerateParams, Role, TrainJob, TrainParams, complete
from worker.rendering import log_likelihood_of
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import GENERATION, MODEL, ArtefactStore

CONFIG = ModelConfig(n_hidden=6, n_hidden_recurrent=5, n_channels=16, kind="lstm-rbm", dt=None, steps_per_beat=2)
CONFIGS = [CONFIG, replace(CONFIG, kind="lstm-nade"), replace(CONFIG, n_channels=0)]


@pytest.fixture(params=CONFIGS, ids=lambda config: f"{config.kind}-{config.n_channels}")
def parameters(request: pytest.FixtureRequest) -> Parameters:
    random = np.random.default_rng(0)
    config: ModelConfig = request.param
    arrays = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes(config).items()}
    return Parameters(config, arrays | {"bv": arrays["bv"] - 3})


@pytest.fixture(params=[best(), None], ids=["kernel", "torch"])
def compiled(request: pytest.FixtureRequest) -> Kernel | None:
    torch.set_num_threads(1)  # tiny models, on which threads only wait for each other
    found: Kernel | None = request.param
    return found


@pytest.fixture
def store(
    parameters: Parameters, compiled: Kernel | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ArtefactStore:
    """A store with the model, which came as a file, in a process set up for it."""
    store = ArtefactStore(str(tmp_path))
    monkeypatch.setattr("worker.runtime._runtime", Runtime(store, "cpu", compiled, ModelCache(store, "cpu", compiled)))
    take_in(store, "m.safetensors", to_bytes(parameters), ImportParams(name="m"))
    return store


class Context(JobContext):
    """Calls `on_report` with each report; a stop that it gives holds from then on."""

    def __init__(self, job_id: str, on_report: Callable[[int], Stop | None] = lambda _: None) -> None:
        super().__init__(job_id)
        self._on_report = on_report
        self._stop: Stop | None = None

    def report(self, step: int, total: int, metrics: Mapping[str, float]) -> None:  # noqa: ARG002
        self._stop = self._stop or self._on_report(step)

    def stop_requested(self) -> Stop | None:
        return self._stop


def generated(store: ArtefactStore, key: str, role: Role | None = None, **asked: Any) -> Roll:
    """The roll of a piece, which goes on from a file or fills it in."""
    model, params = store.find_model("m"), GenerateParams(model="m", **asked)
    file = read_given(GivenFile(role, "a.mid", midi_file(0)), params, model["config"], 1000) if role else None
    job = complete(params, model, 3, file)
    with performing(Context(key)):
        outcome = jobs.generate(job.model_dump(mode="json"))
    assert outcome["status"] == "succeeded"
    packed = np.frombuffer(store.file(GENERATION, key, "piece.roll"), np.uint8)
    return np.unpackbits(packed, count=job.length * 88).reshape(-1, 88).view(np.bool_)


def corpus_of(store: ArtefactStore, n: int = 2) -> str:
    found = ingest(store, [(f"{seed}.mid", BytesIO(midi_file(seed))) for seed in range(n)], Settings())
    return str(found["id"])


def test_pieces_are_drawn_and_gone_on_from(store: ArtefactStore) -> None:
    free = generated(store, "free", length=12)
    assert free.shape == (12, 88)
    assert (generated(store, "again", length=12) == free).all()
    assert generated(store, "tutorial", length=12, sampler="tutorial", gibbs_steps=2).shape == (12, 88)
    source = piece(0)
    assert (generated(store, "longer", "primer", length=4)[: len(source)] == source).all()
    assert not generated(store, "narrow", length=3, pitch_range=(60, 70), gibbs_steps=2)[:, :39].any()


@pytest.mark.skipif(best() is None, reason="by PyTorch it takes minutes; tests/model has it on a small model")
@pytest.mark.parametrize("compiled", [best()], ids=["kernel"], indirect=True)
def test_a_file_is_filled_in(store: ArtefactStore) -> None:
    source, kept = piece(0), slice(60 - 21, None)
    filled = generated(store, "filled", "source", keep=[{"pitches": [60, 109]}], gibbs_steps=2)
    assert (filled[:, kept] == source[:, kept]).all()


def test_a_piece_has_a_likelihood(store: ArtefactStore, parameters: Parameters) -> None:
    roll = generated(store, "p", length=12)
    found = log_likelihood_of(store, store.record(GENERATION, "p"))
    assert found == pytest.approx(piece_log_likelihood(parameters, roll, "cpu", None), abs=0.3)


def test_an_evaluation_says_null_of_what_a_kind_has_not(store: ArtefactStore, parameters: Parameters) -> None:
    model = store.find_model("m")["id"]
    with performing(Context("e")):
        outcome = evaluate({"model": model, "corpus": corpus_of(store), "temperatures": 20, "frames": 8, "pieces": 1})
    assert outcome["status"] == "succeeded"
    result = outcome["result"]
    assert -100 < result["log_likelihood"] < 0
    assert "repetition" in result["music"]["samples"]
    is_nade = parameters.config.kind == "lstm-nade"
    assert (result["log_likelihood"] == result["log_likelihood_reverse"]) == is_nade
    assert (result["pseudo_log_likelihood"] is None) == is_nade


def test_conditionals_are_written_for_either_head(
    parameters: Parameters, compiled: Kernel | None, tmp_path: Path
) -> None:
    file, rolls, out = tmp_path / "m.safetensors", tmp_path / "rolls.npz", tmp_path / "out.npz"
    file.write_bytes(to_bytes(parameters, half=True))
    pieces = [piece(0), piece(1)]
    frames = np.packbits(np.concatenate(pieces), axis=1)
    np.savez(rolls, frames=frames, lengths=np.array([len(piece) for piece in pieces]))
    kernel = "auto" if compiled else "torch"
    write_conditionals(str(file), rolls, out, Settings(data=str(tmp_path), kernel=kernel, device="cpu"))
    written, loaded = np.load(out), from_bytes(file.read_bytes())
    assert (written["v"] == np.concatenate(pieces)).all()
    if parameters.config.kind == "lstm-nade":
        assert set(written) == {"v", "log_p"}
        np.testing.assert_allclose(written["log_p"], log_probabilities(loaded, pieces, None), atol=1e-3)
        return
    c = conditionals(loaded, pieces, None)
    for name, expected in {"W": c.W, "bv_t": c.bv, "bh_t": c.bh}.items():
        np.testing.assert_allclose(written[name], expected, atol=1e-4)


def test_a_training_goes_on_from_it_and_after_an_interruption(
    store: ArtefactStore, parameters: Parameters, compiled: Kernel | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has a calibration at its end, where there is a kernel to draw for it."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    said = complete_training(store, TrainParams(recipe="tutorial", epochs=2, init_from="m", lr=0.01))
    job = TrainJob(**said.model_dump(exclude_none=True), corpus=corpus_of(store)).model_dump(mode="json")
    with performing(Context("whole")):
        assert training.train(job)["status"] == "succeeded"
    with performing(Context("child", lambda step: "shutdown" if step == 1 else None)), pytest.raises(Interrupted):
        training.train(job)
    with performing(Context("child")):
        assert training.train(job)["status"] == "succeeded"
    whole, child = (store.file(MODEL, key, "model.safetensors") for key in ("whole", "child"))
    assert whole == child
    learned = from_bytes(child)
    assert learned.config == parameters.config
    assert store.record(MODEL, "child")["config"] == parameters.config.to_dict()
    assert (learned.arrays["Wuu"] != parameters.arrays["Wuu"]).any()
    assert ("free_bias" in learned.arrays) == (compiled is not None)


def test_a_file_beyond_all_bounds_is_refused(parameters: Parameters, store: ArtefactStore) -> None:
    config = replace(parameters.config, n_channels=528)
    large = Parameters(config, {name: np.zeros(shape, np.float32) for name, shape in shapes(config).items()})
    with pytest.raises(UploadError, match="n_channels 528 is more than 512"):
        take_in(store, "large.safetensors", to_bytes(large), ImportParams())
