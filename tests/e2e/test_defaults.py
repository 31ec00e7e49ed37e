"""A corpus that is uploaded with no options, but for the time that it may take."""

import json
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.config import Sampling
from model.midi import read_roll
from tests.e2e.conftest import Server
from tests.pop import song

BEATS = Sampling(steps_per_beat=2)


@pytest.fixture(scope="module")
def trained(server: Server) -> dict[str, Any]:
    """The job that made the model `pop`."""
    files = [("files", (f"{seed}.mid", song(seed))) for seed in range(10)]
    config = {"name": "pop", "epochs": 4}
    job = server.http.post("/train", files=files, data={"config": json.dumps(config)}).raise_for_status().json()
    return server.wait_for_job(job["id"])


def test_a_corpus_with_no_options_comes_to_a_model_that_says_how_good_it_is(
    server: Server, trained: dict[str, Any]
) -> None:
    assert trained["status"] == "succeeded", trained
    model = server.http.get("/models/pop").raise_for_status().json()
    assert (model["recipe"], model["config"]["tonality"], model["config"]["steps_per_beat"]) == ("fast", "common", 2)
    assert model["training"]["validation"] == 0.1
    assert model["metrics"]["epoch"] == model["best_epoch"]
    assert model["metrics"]["log_likelihood"] < 0
    assert model["metrics"] == trained["result"]["metrics"]
    rows = server.http.get("/models/pop/metrics").json()["items"]
    assert {"monitor", "zero_start", "validation"} <= rows[0].keys()
    Image.open(BytesIO(server.http.get("/models/pop/curve.png").content)).verify()


@pytest.mark.usefixtures("trained")
def test_pieces_come_in_the_key_that_is_asked_for_and_go_on_in_that_of_a_primer(server: Server) -> None:
    """The same piece, moved; and a primer that stays as it was sent."""
    plain, moved = (
        server.http.post("/generate", json={"model": "pop", "seed": 1, "length": 40, **key},
                         headers={"Accept": "application/json"}).raise_for_status().json()
        for key in ({}, {"key": "Eb"})
    )  # fmt: skip
    assert moved["key"] == "Eb"
    assert moved["frames"] == [[note + 3 for note in frame] for frame in plain["frames"]]
    data = song(3)
    primed = server.http.post(
        "/generate", files={"primer": ("a.mid", data)}, data={"config": json.dumps({"model": "pop", "length": 4})}
    ).raise_for_status()  # fmt: skip
    before = read_roll(data, BEATS)
    after = read_roll(primed.content, BEATS)
    assert np.array_equal(after[: len(before)], before)
    refused = server.http.post("/generate", json={"key": "Eb"})
    assert refused.status_code == 422
    assert "plays in the keys of its corpus" in refused.json()["detail"]
