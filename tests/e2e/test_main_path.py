"""What a newcomer does, against the real program: generate, train on own files, generate from that."""

import io
import json
import time
import zipfile

import httpx
import numpy as np
import pretty_midi
import pytest
from PIL import Image
from safetensors.numpy import load

from tests.e2e.conftest import Server, start
from tests.pieces import midi_file, zip_file

SMALL = {"epochs": 4, "n_hidden": 20, "n_hidden_recurrent": 10, "seed": 3, "recipe": "tutorial", "steps_per_beat": 2}


def uploads(n: int) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("files", (f"piece{i}.mid", midi_file(seed=i), "audio/midi")) for i in range(n)]


def train(server: Server, n_files: int = 3, **config: object) -> httpx.Response:
    response = server.http.post("/train", files=uploads(n_files), data={"config": json.dumps({**SMALL, **config})})
    assert response.status_code == 202, response.text
    return response


@pytest.fixture(scope="session")
def model_id(server: Server) -> str:
    """A small model that was trained through the API."""
    job = server.wait_for_job(train(server, name="small").json()["id"])
    assert job["status"] == "succeeded", job
    return job["result"]["model"]


def wait_for_step(server: Server, job_id: str, step: int) -> None:
    """Return once the job is that far."""
    deadline = time.monotonic() + 60
    while (server.http.get(f"/jobs/{job_id}").json()["progress"] or {"step": -1})["step"] < step:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def progress_of(server: Server, job_id: str) -> list[dict]:
    """The progress events of a job that has ended."""
    with server.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        lines = [line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith('data: {"step"')]
    return [json.loads(line) for line in lines]


def parse(midi: bytes) -> pretty_midi.PrettyMIDI:
    return pretty_midi.PrettyMIDI(io.BytesIO(midi))


def test_one_post_without_a_body_brings_a_piece_of_200_frames(server: Server) -> None:
    response = server.http.post("/generate")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "audio/midi"
    piece = server.http.get(response.headers["location"]).json()
    assert piece["length"] == len(piece["frames"]) == 200
    assert str(piece["seed"]) == response.headers["x-seed"]
    assert sum(map(bool, piece["frames"])) > 100
    midi = parse(response.content)
    assert len(midi.instruments[0].notes) > 50
    step = piece["dt"] or 60 / piece["tempo"] / piece["steps_per_beat"]
    assert midi.get_end_time() == pytest.approx(200 * step, abs=0.01)


def test_upload_train_generate(server: Server, model_id: str) -> None:
    response = server.http.post("/generate", json={"model": "small", "length": 64, "seed": 7})
    assert response.status_code == 200, response.text
    pitches = {note.pitch for note in parse(response.content).instruments[0].notes}
    assert pitches <= set(range(21, 109))
    assert server.http.get(response.headers["location"]).json()["model"] == model_id


def test_a_training_reports_every_epoch(server: Server, model_id: str) -> None:
    with server.http.stream("GET", f"/jobs/{model_id}/events") as stream:
        lines = list(stream.iter_lines())
    events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert events[0] == "queued"
    assert events[-1] == "end"
    progress = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith('data: {"step"')]
    assert {entry["step"] for entry in progress} == {0, 1, 2, 3, 4}
    assert {"epoch", "monitor", "zero_start", "cost", "seconds"} <= progress[-1]["metrics"].keys()


def test_a_model_shows_how_it_was_made(server: Server, model_id: str) -> None:
    model = server.http.get(f"/models/{model_id}").json()
    assert model["name"] == "small"
    assert model["config"]["n_hidden"] == 20
    assert model["training"]["epochs"] == 4
    assert model["corpus"]["pieces"] == 3
    assert model["corpus"]["frames"] == 3 * 32
    metrics = server.http.get(f"/models/{model_id}/metrics").json()["items"]
    assert [epoch["epoch"] for epoch in metrics] == [1, 2, 3, 4]
    curve = Image.open(io.BytesIO(server.http.get(f"/models/{model_id}/curve.png").content))
    assert curve.format == "PNG"


def test_a_downloaded_model_has_the_tutorials_tensors(server: Server, model_id: str) -> None:
    tensors = load(server.http.get(f"/models/{model_id}/download").content)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "W": (88, 20), "bv": (88,), "bh": (20,), "Wuh": (10, 20), "Wuv": (10, 88), "Wvu": (88, 10),
        "Wuu": (10, 10), "bu": (10,),
    }  # fmt: skip
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())


def test_a_zip_is_the_same_corpus_as_its_files(server: Server, model_id: str) -> None:
    archive = zip_file({f"folder/{name}": data for _, (name, data, _) in uploads(3)})
    one = server.http.post("/corpora", files=[("files", ("all.zip", archive))])
    many = server.http.post("/corpora", files=uploads(3))
    assert one.status_code == many.status_code == 201
    assert one.json()["digest"] == many.json()["digest"]
    assert one.json()["id"] == many.json()["id"]
    assert one.json()["usable"] == 3


def test_a_stored_corpus_can_be_trained_on(server: Server) -> None:
    corpus = server.http.post("/corpora", files=uploads(2)).json()
    response = server.http.post("/train", json={"corpus": corpus["id"], **SMALL})
    assert response.status_code == 202, response.text
    job = server.wait_for_job(response.json()["id"])
    assert job["status"] == "succeeded"
    assert server.http.get(f"/models/{job['result']['model']}").json()["corpus"]["id"] == corpus["id"]


def test_unreadable_files_are_named_and_the_others_used(server: Server) -> None:
    files = [*uploads(2), ("files", ("notes.txt", b"hello")), ("files", ("broken.mid", b"MThd"))]
    response = server.http.post("/train", files=files, data={"config": json.dumps(SMALL)})
    assert response.status_code == 202
    assert [refusal["file"] for refusal in response.json()["refused"]] == ["notes.txt", "broken.mid"]
    assert server.wait_for_job(response.json()["id"])["status"] == "succeeded"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_notes(server: Server) -> None:
    pieces = [server.http.post("/generate", json={"seed": seed, "length": 50}).content for seed in (5, 5, 6)]
    assert pieces[0] == pieces[1]
    assert pieces[0] != pieces[2]


def test_a_piece_comes_as_picture_and_json_too(server: Server) -> None:
    response = server.http.post("/generate", json={"length": 40}, headers={"Accept": "image/png"})
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).format == "PNG"
    location = response.headers["location"]
    assert server.http.get(f"{location}.png").content == response.content
    assert server.http.get(f"{location}.mid").headers["content-type"] == "audio/midi"
    body = server.http.post("/generate", json={"length": 40}, headers={"Accept": "application/json"}).json()
    assert len(body["frames"]) == 40


def test_several_pieces_come_in_one_job_as_zip_and_as_json(server: Server) -> None:
    body = {"length": 30, "n": 11, "seed": 2**53 - 3}
    response = server.http.post("/generate", json=body)
    assert response.headers["content-type"] == "application/zip"
    job = server.http.get(f"/jobs/{response.headers['x-job-id']}").json()
    assert job["result"]["n"] == 11
    location = response.headers["location"]
    generation = server.http.get(location).json()
    assert [piece["seed"] for piece in generation["pieces"]] == [2**53 - 3, 2**53 - 2, 2**53 - 1, *range(8)]
    assert generation["frames"] is None
    assert generation["notes"] == sum(piece["notes"] for piece in generation["pieces"])

    archive = zipfile.ZipFile(io.BytesIO(response.content))
    single = server.http.post("/generate", json={"length": 30, "seed": 4})
    fifth = generation["pieces"][7]
    assert fifth["seed"] == 4
    assert archive.read(f"{fifth['id']}.mid") == single.content
    assert server.http.get(fifth["links"]["midi"]).content == single.content
    assert server.http.get(fifth["links"]["png"]).headers["content-type"] == "image/png"
    assert server.http.get(f"/generations/{fifth['id']}").json()["frames"] == server.http.get(
        single.headers["location"]).json()["frames"]  # fmt: skip
    assert server.http.get(f"{single.headers['location']}.zip").status_code == 200
    listed = server.http.post("/generate", json=body, headers={"Accept": "application/json"}).json()
    assert len(listed["pieces"]) == 11

    for path, status in ((f"{location}.mid", 406), (f"{location}.png", 406), (f"{location}-11.mid", 404),
                         (f"{location}-x", 404), (f"{single.headers['location']}-0", 404)):  # fmt: skip
        assert server.http.get(path).status_code == status, path
    assert server.http.post("/generate", json=body, headers={"Accept": "audio/midi"}).status_code == 406


def test_a_silent_piece_and_a_very_long_one_have_all_their_forms(server: Server, model_id: str) -> None:
    """The program reads its own pieces without the bounds for strangers' files."""
    long = {"length": 5000, "gibbs_steps": 1, "tempo": 10}  # over four hours
    silent = {"model": model_id, "length": 1, "gibbs_steps": 1, "temperature": 0.05}
    for body, frames in ((long, 5000), (silent, 1)):
        location = server.http.post("/generate", json=body).headers["location"]
        assert len(server.http.get(location).json()["frames"]) == frames
        for suffix in (".png", ".mid"):
            assert server.http.get(location + suffix).status_code == 200


def test_a_large_seed_trains(server: Server) -> None:
    job = server.wait_for_job(train(server, epochs=1, seed=2**53 - 1).json()["id"])
    assert job["status"] == "succeeded", job


def test_a_client_that_will_not_wait_gets_the_job(server: Server) -> None:
    response = server.http.post("/generate", json={"length": 40}, headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "respond-async"
    job = server.wait_for_job(response.json()["id"])
    assert job["result"]["generation"]
    assert server.http.get(f"/generations/{job['result']['generation']}.mid").status_code == 200


def test_a_cancelled_training_keeps_what_it_learned(server: Server) -> None:
    job_id = train(server, epochs=10_000).json()["id"]
    wait_for_step(server, job_id, 2)
    server.http.delete(f"/jobs/{job_id}").raise_for_status()
    job = server.wait_for_job(job_id, 20)
    assert job["status"] == "cancelled"
    assert server.http.post("/generate", json={"model": job["result"]["model"], "length": 10}).status_code == 200


def test_a_queued_job_that_is_cancelled_never_runs(server: Server) -> None:
    running = train(server, epochs=10_000).json()["id"]
    waiting = train(server).json()["id"]
    assert server.http.delete(f"/jobs/{waiting}").json()["status"] == "cancelled"
    server.http.delete(f"/jobs/{running}")
    assert server.wait_for_job(running, 20)["status"] == "cancelled"
    assert server.http.get(f"/jobs/{waiting}").json()["started_at"] is None


def test_two_trainings_at_once_both_end(server: Server) -> None:
    jobs = [train(server, name=name, seed=seed).json()["id"] for name, seed in (("one", 1), ("two", 2))]
    ended = [server.wait_for_job(job_id) for job_id in jobs]
    assert [job["status"] for job in ended] == ["succeeded", "succeeded"]
    digests = {server.http.get(f"/models/{job['result']['model']}").json()["sha256"] for job in ended}
    assert len(digests) == 2


def test_lists_are_paged_newest_first(server: Server, model_id: str) -> None:
    for path in ("/jobs", "/models", "/generations", "/corpora"):
        server.http.post("/generate", json={"length": 5})
        whole = server.http.get(path, params={"limit": 200}).raise_for_status().json()["items"]
        assert len(whole) >= 2, path
        first = server.http.get(path, params={"limit": 1}).json()
        second = server.http.get(path, params={"limit": 1, "after": first["next"]}).json()
        assert [first["items"][0]["id"], second["items"][0]["id"]] == [item["id"] for item in whole[:2]]


def test_a_deleted_piece_is_gone(server: Server) -> None:
    location = server.http.post("/generate", json={"length": 5}).headers["location"]
    assert server.http.delete(location).status_code == 204
    assert server.http.get(location).status_code == 404


def test_a_restart_of_everything_keeps_models_pieces_and_bytes(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("restart")
    first = start(data)
    job = first.wait_for_job(train(first, name="kept").json()["id"])
    piece = first.http.post("/generate", json={"model": "kept", "seed": 1, "length": 60})
    unfinished = train(first, epochs=10_000, name="unfinished").json()["id"]
    wait_for_step(first, unfinished, 20)
    assert first.stop() == 0

    second = start(data)
    try:
        assert second.http.get(f"/models/{job['result']['model']}").json()["name"] == "kept"
        assert second.http.get(f"{piece.headers['location']}.mid").content == piece.content
        again = second.http.post("/generate", json={"model": "kept", "seed": 1, "length": 60})
        assert again.content == piece.content
        wait_for_step(second, unfinished, second.http.get(f"/jobs/{unfinished}").json()["progress"]["step"] + 1)
        second.http.delete(f"/jobs/{unfinished}")
        resumed = second.wait_for_job(unfinished, 60)
        assert resumed["status"] == "cancelled"
        steps = [event["step"] for event in progress_of(second, unfinished)]
        assert steps == sorted(steps)  # it never went back to the beginning
        assert steps[-1] > 20
    finally:
        assert second.stop() == 0
