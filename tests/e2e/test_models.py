"""Models through the API: brought from elsewhere, renamed, gone on from, compared and evaluated."""

import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load, save

from model.artefact import to_bytes
from model.config import ModelConfig
from model.parameters import Parameters, shapes
from tests.e2e.conftest import Server
from tests.pieces import midi_file

SMALL = {"epochs": 2, "n_hidden": 9, "n_hidden_recurrent": 7, "seed": 3, "recipe": "tutorial", "steps_per_beat": 2}
QUICK = {"temperatures": 30, "pieces": 3}


def uploads(n: int) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"piece{i}.mid", midi_file(seed=i))) for i in range(n)]


def train(server: Server, **config: object) -> dict[str, Any]:
    """The model that a training of two epochs ends in."""
    response = server.http.post("/train", files=uploads(2), data={"config": json.dumps({**SMALL, **config})})
    assert response.status_code == 202, response.text
    job = server.wait_for_job(response.json()["id"])
    assert job["status"] == "succeeded", job
    return server.http.get(f"/models/{job['result']['model']}").json()


def bring(server: Server, data: bytes, **config: object) -> httpx.Response:
    form = {"config": json.dumps(config)} if config else None
    return server.http.post("/models", files={"file": ("mine.safetensors", data)}, data=form)


def problem(response: httpx.Response, status: int) -> str:
    """The detail of a problem with that status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    detail: str = response.json()["detail"]
    return detail


@pytest.fixture(scope="module")
def model(server: Server) -> dict[str, Any]:
    return train(server, name="parent")


@pytest.fixture(scope="module")
def weights(server: Server, model: dict[str, Any]) -> bytes:
    return server.http.get("/models/parent/download").content


def test_a_downloaded_model_comes_back_and_plays_the_same(
    server: Server, model: dict[str, Any], weights: bytes
) -> None:
    response = bring(server, weights, name="returned", description="from a friend", tempo=90)
    assert response.status_code == 201, response.text
    brought = response.json()
    assert server.http.get(response.headers["location"]).json() == brought
    assert brought["sha256"] == model["sha256"]
    assert (brought["config"], brought["recipe"], brought["metrics"]) == (model["config"], "imported", {})
    assert (brought["name"], brought["description"]) == ("returned", "from a friend")
    assert server.http.get("/models/returned/download").content == weights
    pieces = [
        server.http.post("/generate", json={"model": name, "length": 20, "seed": 1, "tempo": 100}).content
        for name in ("parent", "returned")
    ]
    assert pieces[0] == pieces[1]
    assert server.http.get("/models/returned/metrics").json() == {"items": [], "next": None}
    assert "not trained here" in problem(server.http.get("/models/returned/curve.png"), 404)
    assert bring(server, weights).json()["name"] == server.http.get("/models").json()["items"][0]["id"]


def changed(weights: bytes, config: dict[str, Any] | None = None, **tensors: np.ndarray | None) -> bytes:
    """The model file with other tensors, without those that are None, or with another config."""
    length = int.from_bytes(weights[:8], "little")
    metadata = json.loads(weights[8 : 8 + length])["__metadata__"]
    if config is not None:
        metadata["config"] = json.dumps({**json.loads(metadata["config"]), **config})
    arrays = {name: array for name, array in {**load(weights), **tensors}.items() if array is not None}
    return save(arrays, metadata=metadata)


@pytest.mark.parametrize(
    ("tensors", "config", "words"),
    [
        ({"Wuu": np.zeros((7, 8), np.float32)}, None, "Wuu has shape (7, 8)"),
        ({"bh": np.zeros(9, np.float64)}, None, "bh is float64"),
        ({"bv": np.full(88, np.nan, np.float32)}, None, "bv holds values that are not finite"),
        ({"bu": None}, None, "bu is missing"),
        ({"extra": np.zeros(3, np.float32)}, None, "extra is not a tensor of this model"),
        ({}, {"n_hidden": "9"}, "n_hidden"),
        ({}, {"n_hidden": 9.0}, "n_hidden"),
        ({}, {"n_hidden": 10}, "W has shape (88, 9)"),
        ({}, {"pitch_range": [21.0, 109.0]}, "pitch_range"),
        ({}, {"pitch_range": 21}, "pitch_range"),
        ({}, {"steps_per_beat": 10**6}, "steps_per_beat"),
        ({}, {"steps_per_beat": None, "dt": float("nan")}, "dt"),
        ({}, {"kind": "rnn-nade"}, "rnn-nade"),
        ({}, {"colour": "blue"}, "colour"),
    ],
)
def test_a_model_file_that_does_not_fit_is_refused_by_tensor_or_member(
    server: Server, weights: bytes, tensors: dict[str, Any], config: dict[str, Any] | None, words: str
) -> None:
    response = bring(server, changed(weights, config, **tensors))
    assert words in problem(response, 422)
    assert response.json()["refused"][0]["file"] == "mine.safetensors"


def test_what_is_no_model_file_is_refused(server: Server, weights: bytes) -> None:
    assert "safetensors" in problem(bring(server, b"no model at all"), 422)
    problem(bring(server, weights[:-5]), 422)
    for config in ("[1]", "5", "{", '"x"'):
        plain = save(load(weights), metadata={"config": config})
        assert "config" in problem(bring(server, plain), 422)
    assert "config" in problem(bring(server, save(load(weights))), 422)
    assert "file" in problem(server.http.post("/models", files={"config": (None, "{}")}), 422)
    assert "name" in problem(bring(server, weights, name="nottingham"), 422)
    assert "colour" in problem(bring(server, weights, colour="blue"), 422)
    problem(server.http.post("/models", content=b"x"), 415)
    problem(bring(server, bytes(3_000_000)), 413)
    assert "there is no running training" in problem(server.http.post("/models", json={"job": "../x"}), 404)


def test_a_model_is_renamed_described_and_deleted_by_name(server: Server, weights: bytes) -> None:
    key = bring(server, weights, name="before").json()["id"]
    renamed = server.http.patch("/models/before", json={"name": "after"})
    assert renamed.status_code == 200, renamed.text
    assert (renamed.json()["id"], renamed.json()["name"]) == (key, "after")
    described = server.http.patch(f"/models/{key}", json={"description": "reels"}).json()
    assert (described["name"], described["description"]) == ("after", "reels")
    assert server.http.get("/models/after").json() == described
    problem(server.http.get("/models/before"), 404)
    assert server.http.patch("/models/after", json={"name": None}).json()["name"] == key
    assert server.http.patch(f"/models/{key}", json={"name": "gone"}).status_code == 200
    assert server.http.delete("/models/gone").status_code == 204
    problem(server.http.get(f"/models/{key}"), 404)


def test_a_renamed_models_curve_has_its_new_name(server: Server) -> None:
    model = train(server, name="plain")
    curves = [server.http.get(f"/models/{model['id']}/curve.png").content for _ in range(2)]
    server.http.patch("/models/plain", json={"name": "fancy"})
    curves.append(server.http.get("/models/fancy/curve.png").content)
    assert curves[0] == curves[1] != curves[2]


@pytest.mark.parametrize(
    ("reference", "body", "status", "words"),
    [
        ("parent", {"name": "nottingham"}, 422, "name"),
        ("parent", {"name": "curve.png"}, 422, "name"),
        ("parent", {"name": "../x"}, 422, "name"),
        ("parent", {"title": "x"}, 422, "title"),
        ("parent", {"description": "x" * 3000}, 422, "description"),
        ("parent", [], 422, "object"),
        ("nottingham", {"description": "x"}, 409, "comes with the program"),
        ("none such", {"description": "x"}, 404, "none such"),
    ],
)
def test_what_a_model_cannot_be_called_is_said(
    server: Server, model: dict[str, Any], reference: str, body: object, status: int, words: str
) -> None:
    assert words in problem(server.http.patch(f"/models/{reference}", json=body), status)


def test_a_training_goes_on_from_a_model(server: Server, model: dict[str, Any]) -> None:
    last = server.http.get("/models/parent/metrics").json()["items"][-1]
    for recipe in ("tutorial", "fast"):
        config = {"recipe": recipe, "epochs": 1, "init_from": "parent", "n_hidden": 9, "seed": 1, "lr": 1e-6}
        response = server.http.post("/train", files=uploads(2), data={"config": json.dumps(config)})
        job = server.wait_for_job(response.json()["id"])
        assert job["status"] == "succeeded", job
        child = server.http.get(f"/models/{job['result']['model']}").json()
        assert child["init_from"] == model["id"]
        assert child["config"] == model["config"]
        # a rate of nearly nothing: its only epoch is where the parent's last was
        assert child["metrics"]["zero_start"] == pytest.approx(last["zero_start"], abs=0.05)


@pytest.mark.parametrize(
    ("config", "status", "words"),
    [
        ({"n_hidden": 10}, 422, "n_hidden"),
        ({"pitch_range": [20, 100]}, 422, "pitch_range"),
        ({"dt": 0.3}, 422, "dt"),
        ({"steps_per_beat": 4}, 422, "steps_per_beat"),
        ({"init_from": "none such"}, 404, "none such"),
    ],
)
def test_a_training_that_contradicts_its_parent_is_refused(
    server: Server, model: dict[str, Any], config: dict[str, Any], status: int, words: str
) -> None:
    body = {"init_from": "parent", **config}
    response = server.http.post("/train", files=uploads(1), data={"config": json.dumps(body)})
    assert words in problem(response, status)


def test_the_default_model_plays_where_none_is_named(server: Server, model: dict[str, Any]) -> None:
    def player() -> str:
        piece = server.http.post("/generate", json={"length": 5})
        return server.http.get(piece.headers["location"]).json()["model_name"]

    assert server.http.put("/models/default", json={"model": "parent"}).json()["id"] == model["id"]
    try:
        assert server.http.get("/models/default").json()["id"] == model["id"]
        assert server.http.get("/models/default/metrics").json()["items"]
        assert player() == "parent"
    finally:
        assert server.http.delete("/models/default").status_code == 204
    assert player() == server.http.get("/models/default").json()["name"] == "nottingham"
    assert server.http.get("/models/parent").status_code == 200
    problem(server.http.put("/models/default", json={"model": "none such"}), 404)
    assert "model" in problem(server.http.put("/models/default", json={}), 422)
    problem(server.http.put("/models/default"), 415)
    assert "name" in problem(server.http.patch("/models/parent", json={"name": "default"}), 422)


def test_curves_of_several_models_come_in_one_picture(server: Server, model: dict[str, Any], weights: bytes) -> None:
    response = server.http.get("/models/curve.png", params={"model": ["parent", "nottingham", model["id"]]})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).format == "PNG"
    problem(server.http.get("/models/curve.png"), 422)
    problem(server.http.get("/models/curve.png", params={"model": ["parent"] * 9}), 422)
    problem(server.http.get("/models/curve.png", params={"model": ["parent", "none such"]}), 404)


def test_a_model_is_evaluated_on_files_and_on_a_stored_corpus(server: Server, model: dict[str, Any]) -> None:
    files = [*uploads(2), ("files", ("notes.txt", b"hello"))]
    response = server.http.post("/models/parent/evaluate", files=files, data={"config": json.dumps(QUICK)})
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/jobs/{response.json()['id']}"
    assert [refusal["file"] for refusal in response.json()["refused"]] == ["notes.txt"]
    job = server.wait_for_job(response.json()["id"])
    assert (job["kind"], job["status"]) == ("evaluate", "succeeded"), job
    assert job["progress"]["step"] == job["progress"]["total"] == 64
    result = job["result"]
    assert result["model"] == model["id"]
    assert result["frames"] == result["frames_scored"] == 64
    assert -100 < result["log_likelihood_reverse"] <= result["log_likelihood"] + 5 < 5
    assert 0 <= result["accuracy"] <= 1
    assert result["pseudo_log_likelihood"] < 0

    corpus = response.json()["corpus"]["id"]
    again = server.http.post("/models/parent/evaluate", json={"corpus": corpus, **QUICK, "frames": 10})
    result = server.wait_for_job(again.json()["id"])["result"]
    assert (result["corpus"], result["frames"], result["frames_scored"]) == (corpus, 64, 10)


@pytest.mark.parametrize("kind", ["lstm-rbm", "lstm-nade"])
def test_a_model_that_remembers_the_piece_does_what_others_do(server: Server, kind: Any) -> None:
    """As halves in its file, which comes back as it was."""
    config, random = ModelConfig(kind, 6, 5, dt=None, steps_per_beat=2, n_channels=16), np.random.default_rng(0)
    arrays = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes(config).items()}
    weights = to_bytes(Parameters(config, arrays), half=True)
    assert bring(server, weights, name=kind).json()["config"] == config.to_dict()
    assert server.http.get(f"/models/{kind}/download").content == weights
    said = {"model": kind, "length": 8, "seed": 1}
    one, again = (server.http.post("/generate", json=said, headers={"Accept": "application/json"}) for _ in "ab")
    assert one.json()["frames"] == again.json()["frames"]
    assert (one.json()["sampler"], one.json()["log_likelihood"] < 0) == ("best", True)
    evaluation = server.http.post(f"/models/{kind}/evaluate", files=uploads(1), data={"config": json.dumps(QUICK)})
    result = server.wait_for_job(evaluation.json()["id"])["result"]
    assert result["log_likelihood"] < 0
    assert (result["pseudo_log_likelihood"] is None) == (kind == "lstm-nade")


def test_an_evaluation_that_cannot_be_is_refused(server: Server, model: dict[str, Any]) -> None:
    path = "/models/parent/evaluate"
    corpus = server.http.post("/corpora", files=uploads(1)).json()["id"]
    problem(server.http.post("/models/none/evaluate", json={"corpus": corpus}), 404)
    problem(server.http.post(path, json={"corpus": "none"}), 404)
    problem(server.http.post(path, content=b""), 415)
    assert "corpus" in problem(server.http.post(path, json={}), 422)
    assert "temperatures" in problem(server.http.post(path, json={"corpus": corpus, "temperatures": 1}), 422)
    huge = {"corpus": corpus, "temperatures": 100_000, "chains": 100}
    assert "frames: at most 100 " in problem(server.http.post(path, json=huge), 422)
    assert "chains: at most 100 " in problem(server.http.post(path, json={**huge, "chains": 101}), 422)
    assert "none of the files" in problem(server.http.post(path, files=[("files", ("a.mid", b"x"))]), 422)


def test_an_evaluation_is_cancelled_while_it_runs(server: Server, model: dict[str, Any]) -> None:
    corpus = server.http.post("/corpora", files=uploads(3)).json()["id"]
    long = {"corpus": corpus, "temperatures": 100_000, "chains": 10, "frames": 90}
    job = server.http.post("/models/nottingham/evaluate", json=long).json()["id"]
    while server.http.get(f"/jobs/{job}").json()["progress"] is None:
        pass
    server.http.delete(f"/jobs/{job}")
    assert server.wait_for_job(job, 60)["status"] == "cancelled"
