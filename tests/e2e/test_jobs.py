"""Jobs over HTTP: the same request twice, waiting, following, deadlines, lists."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.e2e.conftest import Server
from tests.e2e.test_problems import check
from tests.pieces import midi_file

LONG = {"epochs": 10_000, "n_hidden": 20, "n_hidden_recurrent": 10, "recipe": "tutorial", "steps_per_beat": 2}


def generate(server: Server, key: str, **body: object) -> httpx.Response:
    return server.http.post("/generate", json=body, headers={"Idempotency-Key": key})


def train(server: Server, key: str | None = None, **config: object) -> httpx.Response:
    files = [("files", ("a.mid", midi_file()))]
    headers = {"Idempotency-Key": key} if key else {}
    return server.http.post("/train", files=files, data={"config": json.dumps({**LONG, **config})}, headers=headers)


def test_the_same_request_sent_twenty_times_at_once_makes_one_piece(server: Server) -> None:
    key = uuid4().hex
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: generate(server, key, length=20), range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.headers["x-job-id"] for answer in answers}) == 1
    assert len({answer.headers["x-seed"] for answer in answers}) == 1
    assert len({answer.content for answer in answers}) == 1


def test_a_key_belongs_to_the_request_that_it_came_with(server: Server) -> None:
    key = uuid4().hex
    first = generate(server, key, length=20)
    body = check(generate(server, key, length=21), 422)
    assert body["errors"][0]["field"] == "Idempotency-Key"
    assert generate(server, key, length=20).content == first.content
    assert generate(server, uuid4().hex, length=20).headers["x-job-id"] != first.headers["x-job-id"]
    check(generate(server, "x" * 300, length=20), 422)


def test_the_same_upload_trains_once(server: Server) -> None:
    key = uuid4().hex
    with ThreadPoolExecutor(4) as threads:
        jobs = {answer.json()["id"] for answer in threads.map(lambda _: train(server, key, epochs=1), range(4))}
    assert len(jobs) == 1
    check(train(server, key, epochs=2), 422)


def test_a_wait_that_is_too_short_brings_the_job(server: Server) -> None:
    response = server.http.post("/generate", json={"length": 20_000}, headers={"Prefer": "wait=0"})
    assert response.status_code == 202
    assert response.headers["preference-applied"] == "wait=0"
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["location"] == f"/jobs/{response.json()['id']}"
    assert str(response.json()["seed"]) == response.headers["x-seed"]
    server.http.delete(response.headers["location"])


def test_events_can_be_followed_from_the_last_one_that_was_seen(server: Server) -> None:
    job = server.wait_for_job(train(server, epochs=3).json()["id"])
    path = f"/jobs/{job['id']}/events"
    ids = [line for line in server.http.get(path).text.splitlines() if line.startswith("id: ")]
    assert len(ids) >= 5
    rest = server.http.get(path, headers={"Last-Event-ID": ids[2].removeprefix("id: ")}).text.splitlines()
    assert [line for line in rest if line.startswith("id: ")] == ids[3:]
    assert "event: end" in rest
    assert server.http.get(path, headers={"Last-Event-ID": ids[-1].removeprefix("id: ")}).text.strip() == ""
    assert "event: end" in server.http.get(path, headers={"Last-Event-ID": "no id"}).text


def test_a_training_stops_at_its_deadline_and_keeps_what_it_has(server: Server) -> None:
    job = server.wait_for_job(train(server, deadline=6).json()["id"], 30)
    assert job["status"] == "cancelled"
    assert job["problem"]["type"] == "DeadlinePassed"
    assert job["ended_at"] >= job["deadline"]
    assert server.http.get(f"/models/{job['result']['model']}").status_code == 200


def test_a_queued_job_does_not_start_after_its_deadline(server: Server) -> None:
    running = train(server).json()["id"]
    try:
        job = server.wait_for_job(train(server, deadline=0.5).json()["id"], 10)
        assert (job["status"], job["problem"]["type"], job["started_at"]) == ("cancelled", "DeadlinePassed", None)
    finally:
        server.http.delete(f"/jobs/{running}")


def test_who_waits_for_a_piece_learns_that_its_deadline_passed(server: Server) -> None:
    body = {"length": 20_000, "gibbs_steps": 250, "deadline": 0.5}
    assert "deadline" in check(server.http.post("/generate", json=body), 504)["detail"]


def test_notes_come_back_with_a_job_and_find_it(server: Server) -> None:
    notes = {"run": uuid4().hex, "for": "Ann: and Bo"}
    corpus = server.http.post("/corpora", files=[("files", ("a.mid", midi_file()))]).json()["id"]
    evaluation = {"corpus": corpus, "metadata": notes, "temperatures": 2, "frames": 1, "pieces": 0}
    jobs = [
        server.http.post("/generate", json={"length": 5, "metadata": notes}, headers={"Prefer": "wait=0"}).json(),
        train(server, epochs=1, metadata=notes).json(),
        server.http.post("/models/nottingham/evaluate", json=evaluation).json(),
    ]
    train(server, epochs=1, metadata={**notes, "for": "Bo"})
    assert [job["metadata"] for job in jobs] == [notes] * 3
    query = [("metadata", f"{key}:{value}") for key, value in notes.items()]
    found = server.http.get("/jobs", params=query).json()["items"]  # type: ignore[arg-type]
    assert [job["id"] for job in found] == [job["id"] for job in jobs[::-1]]
    end = server.http.get(f"/jobs/{jobs[1]['id']}/events").text
    assert json.loads(end.rsplit("data: ", 1)[1].partition("\n")[0])["metadata"] == notes


@pytest.mark.parametrize(
    "metadata", [{"": "x"}, {"a:b": "x"}, {"k" * 65: "x"}, {"k": "x" * 513}, {"k": 1}, {str(i): "" for i in range(17)}]
)
def test_notes_are_few_and_short(server: Server, metadata: dict[str, object]) -> None:
    assert "metadata" in check(server.http.post("/generate", json={"metadata": metadata}), 422)["detail"]
    check(server.http.get("/jobs", params={"metadata": "no colon"}), 422)


def test_how_far_a_long_filling_in_is_can_be_followed(server: Server) -> None:
    config = {"keep": [{"pitches": [60, 109]}], "gibbs_steps": 145}
    response = server.http.post(
        "/generate",
        files={"source": ("tune.mid", midi_file(bars=64))},
        data={"config": json.dumps(config)},
        headers={"Prefer": "respond-async", "Accept": "audio/midi"},
    )
    assert response.status_code == 202, response.text
    events = server.http.get(f"{response.headers['location']}/events").text
    steps = [json.loads(found) for found in re.findall(r"event: progress\ndata: (.*)", events)]
    assert steps
    assert {step["total"] for step in steps} == {512}
    assert all(0 <= step["step"] <= 512 for step in steps)
    assert [step["step"] for step in steps] == sorted(step["step"] for step in steps)
    assert server.http.get(response.headers["location"]).json()["progress"] == steps[-1]


def test_a_service_whose_pieces_wait_is_busy(server: Server) -> None:
    assert server.http.get("/readyz").json()["state"] == "ready"
    asked = {"json": {"length": 20_000, "gibbs_steps": 250}, "headers": {"Prefer": "respond-async"}}
    jobs = [server.http.post("/generate", **asked).json()["id"] for _ in range(4)]
    busy = server.http.get("/readyz")
    for job in jobs:
        server.http.delete(f"/jobs/{job}")
    assert (busy.status_code, busy.json()["status"], busy.json()["state"]) == (200, "ready", "busy")


def test_lists_can_be_filtered_and_paged(server: Server) -> None:
    made = [server.http.post("/generate", json={"length": 5}).headers["x-job-id"] for _ in range(3)]
    found: list[str] = []
    after = None
    while len(found) < 3:
        query = {"kind": "generate", "status": "succeeded", "limit": 1, **({"after": after} if after else {})}
        page = server.http.get("/jobs", params=query).json()
        assert all(job["kind"] == "generate" for job in page["items"])
        found += [job["id"] for job in page["items"]]
        after = page["next"]
    assert found == made[::-1]


def test_pieces_can_be_listed_by_model(server: Server) -> None:
    piece = server.http.post("/generate", json={"length": 5}).headers["x-job-id"]
    for model in ("nottingham", server.http.get("/models/nottingham").json()["id"]):
        page = server.http.get("/generations", params={"model": model, "limit": 1}).json()
        assert [item["id"] for item in page["items"]] == [piece]
    assert server.http.get("/generations", params={"model": "none such"}).json() == {"items": [], "next": None}


def test_models_can_be_listed_by_name_and_recipe(server: Server) -> None:
    def names(**query: str) -> list[str]:
        return [model["name"] for model in server.http.get("/models", params=query).json()["items"]]

    assert names(name="nottingham") == ["nottingham"]
    assert "nottingham" in names(recipe="fast")
    assert "nottingham" not in names(recipe="tutorial")
    assert names(name="nottingham", recipe="tutorial") == []


@pytest.mark.parametrize("path", ["/jobs", "/models", "/generations", "/corpora"])
@pytest.mark.parametrize("query", [{"after": "no/cursor"}, {"after": ""}, {"limit": 0}, {"limit": "x"}])
def test_a_wrong_cursor_or_limit_is_named(server: Server, path: str, query: dict[str, object]) -> None:
    body = check(server.http.get(path, params=query), 422)
    assert next(iter(query)) in body["errors"][0]["field"]


def test_wrong_filters_are_named(server: Server) -> None:
    check(server.http.get("/jobs", params={"kind": "paint"}), 422)
    check(server.http.get("/jobs", params={"status": "bored"}), 422)
