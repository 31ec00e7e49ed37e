"""Files that pieces go on from or are filled in around, on their way to the job; and the job with either kernel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.kernel import best
from model.midi_writer import write_midi
from tests.pieces import piece
from worker import jobs
from worker.context import JobContext, performing
from worker.errors import ParameterError, UploadError
from worker.given import clamp_of, gibbs_steps_of, kept_of, primer_of
from worker.given_files import GivenFile, read_given
from worker.protocol import GenerateJob, GenerateParams, Kind, complete
from worker.rendering import log_likelihood_of, picture_of
from worker.runtime import prepare
from worker.settings import Settings
from worker.store import GENERATION, ArtefactStore

STEP = 0.25


def model_of(low: int, high: int, tonality: str = "own") -> dict[str, Any]:
    config = {"pitch_range": [low, high], "dt": None, "steps_per_beat": 2, "tonality": tonality}
    return {"id": "m", "name": "m", "config": config, "corpus": {"tempo": 120.0}}


def job_of(roll: np.ndarray, keys: tuple[int, int], role: str = "primer", **asked: Any) -> GenerateJob:
    """The job for a roll (frames, keys) that comes as a file."""
    model, params = model_of(*keys), GenerateParams(**asked)
    file = GivenFile(role, "a.mid", write_midi(roll, step_seconds=STEP, pitch_range=keys))  # type: ignore[arg-type]
    given_frames = read_given(file, params, model["config"], 1000)
    job = complete(params, model, 0, given_frames)
    return GenerateJob.model_validate_json(job.model_dump_json())  # as it crosses Redis


@settings(deadline=None, max_examples=50)
@given(data=st.data(), frames=st.integers(1, 40), n_visible=st.integers(1, 20))
def test_a_roll_comes_to_the_job_as_it_was(data: st.DataObject, frames: int, n_visible: int) -> None:
    roll = data.draw(arrays(np.bool_, (frames, n_visible)).filter(np.any))
    keys = (40, 40 + n_visible)
    assert np.array_equal(primer_of(job_of(roll, keys, length=3)), roll)
    clamp = clamp_of(job_of(roll, keys, "source", keep=[{}]))
    assert clamp is not None
    assert np.array_equal(clamp[0], roll)
    assert clamp[1].all()


@pytest.mark.parametrize(
    ("kind", "asked", "steps"),
    [
        ("rnn-rbm", {}, 25),
        ("lstm-rbm", {}, 60),
        ("lstm-rbm", {"sampler": "tutorial"}, 25),
        ("lstm-rbm", {"gibbs_steps": 3}, 3),
        ("lstm-nade", {}, 25),
    ],
)
def test_a_chain_is_as_long_as_is_best_for_the_kind_of_model(
    kind: str, asked: dict[str, Any], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.drawing.BEST_STEPS", 60)
    model = model_of(21, 109)
    model["config"]["kind"] = kind
    assert complete(GenerateParams(**asked), model, 0).gibbs_steps == steps


@pytest.mark.parametrize("semitones", [-6, -1, 0, 2, 5])
def test_a_model_of_common_tonality_is_moved_to_the_key_of_the_file(semitones: int) -> None:
    """It hears the same as in C, and its keys stand for notes of the file's key, which regions are about."""
    model = model_of(21, 109, "common")
    data = write_midi(np.roll(piece(), semitones, axis=1), step_seconds=STEP)
    for role, asked in (("primer", {"length": 2}), ("source", {"keep": [{"pitches": [60 + semitones, 128]}]})):
        params = GenerateParams(**asked)
        job = complete(params, model, 0, read_given(GivenFile(role, "a.mid", data), params, model["config"], 1000))
        assert job.keys == (21 + semitones, 109 + semitones)
        assert np.array_equal((primer_of(job) if role == "primer" else clamp_of(job)[0]), piece())
    kept = kept_of(job)
    assert kept[:, 60 - 21 :].all()
    assert not kept[:, : 60 - 21].any()
    moved = GenerateParams(length=2, transpose=2)
    given = read_given(GivenFile("primer", "a.mid", data), moved, model["config"], 1000)
    assert complete(moved, model, 0, given).keys == (23 + semitones, 111 + semitones)


def test_a_model_of_common_tonality_plays_in_the_key_that_is_asked_for() -> None:
    for key, low in ((None, 21), ("D", 23), ("F#", 15), ("Bb", 19)):
        assert complete(GenerateParams(key=key), model_of(21, 109, "common"), 0).keys == (low, low + 88)
    assert complete(GenerateParams(key="D", transpose=-12), model_of(21, 109, "common"), 0).keys == (11, 99)
    with pytest.raises(ParameterError, match="key: model 'm' plays in the keys of its corpus"):
        complete(GenerateParams(key="D"), model_of(21, 109), 0)
    model, params = model_of(21, 109, "common"), GenerateParams(key="D", length=2)
    file = GivenFile("primer", "a.mid", write_midi(piece(), step_seconds=STEP))
    with pytest.raises(ParameterError, match="key: the piece is in the key of its primer"):
        complete(params, model, 0, read_given(file, params, model["config"], 1000))


def test_a_model_with_all_notes_of_midi_takes_a_file_in_its_own_key() -> None:
    wide = model_of(0, 128, "common")
    file = GivenFile("primer", "a.mid", write_midi(np.roll(piece(), 2, axis=1), step_seconds=STEP))
    params = GenerateParams(length=1)
    job = complete(params, wide, 0, read_given(file, params, wide["config"], 1000))
    assert job.keys == (0, 128)
    assert np.array_equal(primer_of(job)[:, 21:109], np.roll(piece(), 2, axis=1))


def test_a_clamp_holds_the_primer_and_the_keys_outside_the_range() -> None:
    job = job_of(piece(0, bars=1), (21, 109), length=2, pitch_range=(60, 72))
    source, kept = clamp_of(job) or pytest.fail("there is something to clamp")
    assert np.array_equal(source[:8], piece(0, bars=1))
    assert kept[:8].all()
    assert not source[8:].any()
    assert np.array_equal(kept[8], [not 60 <= key < 72 for key in range(21, 109)])


def test_what_is_clamped_costs_more() -> None:
    roll = piece(0, bars=1)
    free, narrow = (job_of(roll, (21, 109), length=10, n=2, **more) for more in ({}, {"pitch_range": (60, 72)}))
    assert gibbs_steps_of(free) == 2 * 10 * 25
    assert gibbs_steps_of(narrow) == 2 * 18 * 51
    assert gibbs_steps_of(job_of(roll, (21, 109), "source", keep=[{}])) == 8 * 32 * 51


def test_a_roll_that_is_too_dense_to_be_carried_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).random((1000, 128)) < 0.5
    monkeypatch.setattr("worker.given_files.MOST_CHARACTERS", 1000)
    with pytest.raises(UploadError, match=r"a\.mid: there is too much") as raised:
        job_of(noise, (0, 128))
    assert raised.value.refused[0]["file"] == "a.mid"


@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("role", ["primer", "source"])
def test_the_job_keeps_what_is_given_and_its_piece_has_a_likelihood(tmp_path: Path, kernel: str, role: str) -> None:
    if kernel == "auto" and best() is None:
        pytest.skip("the compiled kernel is not there")
    store = ArtefactStore(str(tmp_path))
    prepare(Kind.GENERATE, Settings(data=str(tmp_path), kernel=kernel, device="cpu"))  # type: ignore[arg-type]
    model = store.find_model("nottingham")
    asked = {"keep": [{"pitches": [60, 109]}]} if role == "source" else {"length": 4}
    params = GenerateParams(**asked, gibbs_steps=5, pitch_range=(40, 80), n=2)
    file = GivenFile(role, "a.mid", write_midi(piece(0, bars=1), step_seconds=STEP))  # type: ignore[arg-type]
    job = complete(params, model, 1, read_given(file, params, model["config"], 1000))
    with performing(JobContext("piece")):
        outcome = jobs.generate(job.model_dump(mode="json"))
    assert outcome["status"] == "succeeded", outcome
    record = store.record(GENERATION, "piece")
    bits = np.unpackbits(np.frombuffer(store.file(GENERATION, "piece", "piece.roll"), np.uint8))
    rolls = bits.reshape(2, -1)[:, : job.length * 88].reshape(2, job.length, 88).view(np.bool_)
    kept = kept_of(job)
    given_cells = np.ones((8, 88), np.bool_) if kept is None else kept
    assert all(np.array_equal(roll[:8][given_cells], piece(0, bars=1)[given_cells]) for roll in rolls)
    value = log_likelihood_of(store, {**record, "id": "piece-1", "n": 1})
    assert value is not None
    assert -60 < value < 0
    assert picture_of(store, "piece-1").startswith(b"\x89PNG")
