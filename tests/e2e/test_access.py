"""A service with keys, a rate limit and webhooks."""

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from tests.e2e.conftest import Server, start
from tests.e2e.receiver import receiving
from tests.e2e.test_problems import check

SECRET = f"whsec_{b64encode(bytes(range(24))).decode()}"
KEY, BUSY, OTHER = "rnnrbm_one", "rnnrbm_two", "rnnrbm_three"
RATE = 60


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start(
        tmp_path_factory.mktemp("guarded"),
        RNNRBM_API_KEYS=",".join(sha256(key.encode()).hexdigest() for key in (KEY, BUSY, OTHER)),
        RNNRBM_RATE_LIMIT=str(RATE),
        RNNRBM_WEBHOOK_SECRET=SECRET,
        RNNRBM_WEBHOOK_PRIVATE="1",
        RNNRBM_TRAIN_WORKERS="0",
    )
    yield server
    assert server.stop() == 0


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_without_a_key_only_probes_and_the_description_are_there(guarded: Server) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert guarded.http.get(path).status_code == 200, path
    for method, path in (("GET", "/jobs"), ("POST", "/generate"), ("DELETE", "/jobs/x"), ("GET", "/metrics")):
        response = guarded.http.request(method, path)
        check(response, 401)
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_key_that_is_not_known_is_refused_and_one_that_is_lets_in(guarded: Server) -> None:
    refused = guarded.http.get("/jobs", headers=bearer("wrong"))
    check(refused, 401)
    assert "invalid_token" in refused.headers["www-authenticate"]
    check(guarded.http.get("/jobs", headers={"Authorization": f"Basic {KEY}"}), 401)
    assert guarded.http.get("/jobs", headers=bearer(KEY)).status_code == 200


def test_the_description_asks_for_keys_where_they_are_needed(guarded: Server) -> None:
    paths = guarded.http.get("/openapi.json").json()["paths"]
    assert paths["/jobs"]["get"]["security"]
    assert "security" not in paths["/readyz"]["get"]


def test_idempotency_keys_of_two_callers_are_not_the_same(guarded: Server) -> None:
    jobs = {
        guarded.http.post("/generate", json={"length": 5}, headers={**bearer(key), "Idempotency-Key": "same"}).headers[
            "x-job-id"
        ]
        for key in (KEY, OTHER, KEY)
    }
    assert len(jobs) == 2


def test_who_asks_too_often_has_to_wait_and_others_have_not(guarded: Server) -> None:
    answers = [guarded.http.get("/jobs", headers=bearer(BUSY)) for _ in range(2 * RATE + 1)]
    refused = next(answer for answer in answers if answer.status_code != 200)
    check(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == f'"requests";q={RATE};w=60'
    assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert answers[0].headers["ratelimit"].startswith(f'"requests";r={RATE - 1};t=')
    assert guarded.http.get("/jobs", headers=bearer(OTHER)).status_code == 200
    assert guarded.http.get("/readyz").status_code == 200


def test_figures_for_prometheus(guarded: Server) -> None:
    guarded.http.post("/generate", json={"length": 5}, headers=bearer(KEY))
    guarded.http.request("BREW", "/jobs", headers=bearer(KEY))
    figures = guarded.http.get("/metrics", headers=bearer(KEY))
    assert figures.headers["content-type"].startswith("text/plain")
    lines = figures.text.splitlines()
    assert any(line.startswith('rnnrbm_requests_total{method="POST",route="/generate",status="200"}') for line in lines)
    assert any(line.startswith('rnnrbm_request_seconds_bucket{le="0.5",method="POST"') for line in lines)
    assert any(line.startswith('rnnrbm_jobs_ended_total{kind="generate",status="succeeded"}') for line in lines)
    assert 'rnnrbm_jobs_waiting{kind="generate"} 0.0' in lines
    assert any(line.startswith("rnnrbm_workers{") and 'kind="generate"' in line for line in lines)
    assert "rnnrbm_redis_up 1.0" in lines
    assert "BREW" not in figures.text


def wait_for_webhooks(received: list[tuple[dict[str, str], str]], count: int, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while len(received) < count:
        assert time.monotonic() < deadline, f"{len(received)} webhooks came"
        time.sleep(0.05)


def ask(server: Server, url: str) -> httpx.Response:
    return server.http.post("/generate", json={"length": 5, "webhook": url}, headers=bearer(KEY))


def test_the_end_of_a_job_is_told_signed_and_again_where_it_was_not_heard(guarded: Server) -> None:
    with receiving(500, 200) as receiver:
        job_id = ask(guarded, receiver.url).headers["x-job-id"]
        wait_for_webhooks(receiver.received, 2)
        time.sleep(1.5)
    assert len(receiver.received) == 2
    for headers, body in receiver.received:
        told = Webhook(SECRET).verify(body, headers)
        assert (told["type"], told["data"]["id"]) == ("job.succeeded", job_id)
        assert told["data"]["result"]["generation"] == job_id
    assert {headers["webhook-id"] for headers, _ in receiver.received} == {job_id}


def test_a_url_that_nothing_can_be_sent_to_is_refused(guarded: Server) -> None:
    for url in ("ftp://example.com/", "http://no-such-host.invalid/", "http://user:password@127.0.0.1/", "nonsense"):
        body = check(ask(guarded, url), 422)
        assert "webhook" in body["errors"][0]["field"], url


def test_webhooks_are_refused_where_there_is_no_secret_to_sign_them(server: Server) -> None:
    body = check(server.http.post("/generate", json={"webhook": "https://example.com/"}), 422)
    assert body["errors"][0]["field"] == "webhook"
    config = {"config": json.dumps({"webhook": "https://example.com/"})}
    corpus = server.http.get("/corpora").json()["items"]
    if corpus:
        check(server.http.post("/train", json={"corpus": corpus[0]["id"], "webhook": "https://example.com/"}), 422)
    check(server.http.post("/train", data=config), 415)
