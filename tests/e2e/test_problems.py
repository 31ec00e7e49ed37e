"""Every error is a problem (RFC 9457) that says what was wrong and what to do."""

import json

import httpx
import pytest

from tests import midi_files
from tests.e2e.conftest import Server
from tests.pieces import midi_file, zip_file


def check(response: httpx.Response, status: int) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert "Traceback" not in response.text
    return body


NO_NOTES = midi_files.midi(midi_files.tempo(500_000))
HUGE_TICK = midi_files.midi(midi_files.note(60, midi_files.FURTHEST))
UPLOADS = {
    "empty file": ("empty.mid", b"", "empty"),
    "text file": ("text.mid", b"this is no music at all", "MThd"),
    "truncated": ("cut.mid", midi_file()[:-40], "cut.mid"),
    "huge tick": ("huge.mid", HUGE_TICK, "at most"),
    "no notes": ("silent.mid", NO_NOTES, "no notes"),
    "wrong extension": ("song.mp3", midi_file(), ".mid"),
    "zip of nothing": ("none.zip", zip_file({}), ".mid"),
    "zip with a path upwards": ("up.zip", zip_file({"../../etc/song.mid": midi_file()}), ".."),
    "format 2": ("two.mid", midi_files.midi(midi_files.note(), form=2), "format 2"),
    "no zip at all": ("no.zip", b"PK but not really", "zip"),
}


@pytest.mark.parametrize("path", ["/train", "/corpora"])
@pytest.mark.parametrize("name", UPLOADS)
def test_an_upload_without_a_usable_file_is_refused_by_name(server: Server, path: str, name: str) -> None:
    file, data, words = UPLOADS[name]
    body = check(server.http.post(path, files=[("files", (file, data))]), 422)
    named = "../../etc/song.mid" if name == "zip with a path upwards" else file
    assert [refusal["file"] for refusal in body["refused"]] == [named]
    assert words in json.dumps(body)


@pytest.mark.parametrize("path", ["/train", "/corpora"])
def test_an_upload_without_files_is_refused(server: Server, path: str) -> None:
    assert (
        "files" in check(server.http.post(path, files={"config": (None, "{}")}), 422)["detail"]
        if path == "/train"
        else True
    )
    check(server.http.post(path), 415)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ('{"epochs": 0}', "epochs"),
        ('{"epoch": 5}', "epoch"),
        ('{"pitch_range": [80, 20]}', "pitch_range"),
        ('{"dt": 0.3, "steps_per_beat": 2}', "steps_per_beat"),
        ('{"lr": "fast"}', "lr"),
        ("{not json", "JSON"),
    ],
)
def test_a_wrong_config_names_its_field(server: Server, config: str, field: str) -> None:
    response = server.http.post("/train", files=[("files", ("a.mid", midi_file()))], data={"config": config})
    assert field in check(response, 422)["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"length": 0}, "length"),
        ({"length": 10**9}, "length"),
        ({"n": 0}, "n"),
        ({"n": 10**6}, "at most 1000 pieces"),
        ({"n": 100, "length": 20_000}, "2,000,000 steps of time"),
        ({"temperature": -1}, "temperature"),
        ({"gibbs_steps": 10**9}, "gibbs_steps"),
        ({"length": 20_000, "gibbs_steps": 5000}, "more than 5,000,000"),
        ({"colour": "blue"}, "colour"),
        ({"seed": "x"}, "seed"),
        ([1, 2], "object"),
    ],
)
def test_a_wrong_generate_body_names_its_field(server: Server, body: object, field: str) -> None:
    assert field in check(server.http.post("/generate", json=body), 422)["detail"]


def test_a_body_that_curl_sends_without_a_header_is_read(server: Server) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = server.http.post("/generate", content='{"length": 5, "seed": 9}', headers=headers)
    assert response.status_code == 200
    assert response.headers["x-seed"] == "9"


@pytest.mark.parametrize(
    "path", ["/jobs/x", "/models/x", "/generations/x", "/corpora/x", "/generations/x.mid", "/nothing"]
)
def test_what_is_not_there_is_404(server: Server, path: str) -> None:
    check(server.http.get(path), 404)


def test_other_framework_errors_are_problems_too(server: Server) -> None:
    check(server.http.put("/generate"), 405)
    check(server.http.post("/generate", json={"model": "none such"}), 404)
    check(server.http.post("/train", json={"corpus": "none"}), 404)
    check(server.http.post("/generate", headers={"Accept": "video/mp4"}), 406)
    check(server.http.post("/generate", content="<a/>", headers={"Content-Type": "text/xml"}), 415)
    check(server.http.post("/train", content="x" * 3_000_000), 413)
    check(server.http.post("/corpora", files=[("files", ("big.mid", b"x" * 3_000_000))]), 413)
    chunks = (b"x" * 100_000 for _ in range(30))
    check(server.http.post("/generate", content=chunks, headers={"Content-Type": "application/json"}), 413)
    unknown = {str(i): 1 for i in range(3_000)}
    assert len(check(server.http.post("/generate", json=unknown), 422)["errors"]) == 20
    check(server.http.post("/generate", content=b'"' + b"x" * 100_000 + b'"'), 413)
    check(server.http.post("/train", json={"corpus": "x" * 100_000}), 413)
    check(server.http.get("/jobs", params={"limit": 0}), 422)
    form = {"Content-Type": "multipart/form-data; boundary=B; charset=punycode"}
    body = b'--B\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\nx\r\n--B--\r\n'
    check(server.http.post("/train", content=body, headers=form), 400)
    check(server.http.get("/generations/" + "a" * 300), 404)
    check(server.http.get("/jobs/x/events"), 404)
    multipart = {"Content-Type": "multipart/form-data"}
    assert "boundary" in check(server.http.post("/train", content=b"--x\r\nbroken", headers=multipart), 400)["detail"]


def test_a_model_that_comes_with_the_program_stays_and_keeps_its_name(server: Server) -> None:
    model = server.http.get("/models/nottingham").json()
    check(server.http.delete(f"/models/{model['id']}"), 409)
    files = [("files", ("a.mid", midi_file()))]
    response = server.http.post("/train", files=files, data={"config": '{"name": "nottingham"}'})
    assert "name" in check(response, 422)["detail"]


def test_a_training_that_cannot_work_fails_with_its_reason(server: Server) -> None:
    files = [("files", ("a.mid", midi_file()))]
    response = server.http.post("/train", files=files, data={"config": '{"pitch_range": [0, 5]}'})
    job = server.wait_for_job(response.json()["id"])
    assert job["status"] == "failed"
    assert job["problem"]["type"] == "CorpusError"
    assert "pitch range" in job["problem"]["detail"]
