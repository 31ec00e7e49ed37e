"""Whatever is wrong with a request, on whatever route: the answer is a problem, and one that /openapi.json names."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import create_app
from tests.e2e.conftest import Server, start
from tests.e2e.test_problems import check
from tests.pieces import midi_file
from worker.settings import Settings

DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
FILES: dict[str, Any] = {"files": [("files", ("a.mid", midi_file()))]}
MISSING: dict[str, dict[str, Any]] = {
    "generate": {"json": {"model": "no such"}},
    "train": {"json": {"corpus": "no-such"}},
    "create_model": {"json": {"job": "no-such"}},
    "compare_model_curves": {"params": {"model": "no such"}},
    "set_default_model": {"json": {"model": "no such"}},
    "update_model": {"json": {"description": "new"}},
    "evaluate_model": FILES,
}
"""Requests that name something which is not there, where the path does not, or that need a body."""
IN_ORDER: dict[str, dict[str, Any]] = {
    **MISSING,
    "generate": {"json": {"length": 5}},
    "train": FILES,
    "create_corpus": FILES,
    "compare_model_curves": {"params": {"model": "nottingham"}},
    "set_default_model": {"json": {"model": "nottingham"}},
}
WRONG_QUERIES = {"limit": 0, "after": "../x", "kind": "paint", "status": "bored", "metadata": "no colon"}
WITH_REDIS = {
    ("POST", "/generate"), ("POST", "/train"), ("POST", "/models/{model_id}/evaluate"), ("GET", "/readyz"),
    ("GET", "/jobs"), ("GET", "/jobs/{job_id}"), ("DELETE", "/jobs/{job_id}"), ("GET", "/jobs/{job_id}/events"),
}  # fmt: skip


def with_error(status: int) -> pytest.MarkDecorator:
    """Parametrises a test by the routes that name such an error."""
    found = [key for key, operation in OPERATIONS.items() if str(status) in operation["responses"]]
    assert found
    return pytest.mark.parametrize(("method", "path"), found)


def taking(part: str) -> pytest.MarkDecorator:
    """Parametrises a test by the routes with `parameters` or a `requestBody`."""
    return pytest.mark.parametrize(("method", "path"), [key for key, found in OPERATIONS.items() if part in found])


def url(path: str, key: str = "no-such") -> str:
    """The path with an id in it."""
    before, brace, rest = path.partition("{")
    return before + key + rest.partition("}")[2] if brace else path


def named(method: str, path: str) -> str:
    return OPERATIONS[method, path]["operationId"]


def check_named(response: httpx.Response, status: int, method: str, path: str) -> dict:
    """A problem of that status, which the route's description has."""
    assert str(status) in OPERATIONS[method, path]["responses"]
    return check(response, status)


@with_error(404)
def test_what_is_not_there(server: Server, method: str, path: str) -> None:
    request = MISSING.get(named(method, path), {})
    check_named(server.http.request(method, url(path), **request), 404, method, path)


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_another_method_is_405_and_all_that_are_possible_are_named(server: Server, path: str) -> None:
    possible = {method.upper() for method in DOCUMENT["paths"][path]}
    for method in {"DELETE", "GET", "PATCH", "POST", "PUT"} - possible:
        response = server.http.request(method, url(path))
        check(response, 405)
        assert set(response.headers["allow"].split(", ")) == possible


@with_error(406)
def test_a_form_that_it_cannot_be_had_in(server: Server, method: str, path: str) -> None:
    video = {"Accept": "video/mp4"}
    made = server.http.post("/generate", json={"length": 5, "n": 2}, headers={"Accept": "application/zip"})
    response = server.http.request(method, url(path, made.headers["x-job-id"]), headers=video)
    if path.endswith(".zip"):
        assert response.status_code == 200  # several pieces can be had so, whatever Accept says of other paths
    else:
        check_named(response, 406, method, path)


@taking("requestBody")
def test_a_body_that_is_too_large(server: Server, method: str, path: str) -> None:
    for content_type in ("application/json", "multipart/form-data; boundary=B"):
        headers = {"Content-Type": content_type}
        response = server.http.request(method, url(path, "nottingham"), content=b"x" * 2_000_001, headers=headers)
        check_named(response, 413, method, path)


@taking("requestBody")
def test_a_body_of_another_type(server: Server, method: str, path: str) -> None:
    headers = {"Content-Type": "text/xml"}
    response = server.http.request(method, url(path, "nottingham"), content=b"<a/>", headers=headers)
    check_named(response, 415, method, path)


@taking("requestBody")
def test_a_form_that_cannot_be_taken_apart(server: Server, method: str, path: str) -> None:
    forms = "multipart/form-data" in OPERATIONS[method, path]["requestBody"]["content"]
    headers = {"Content-Type": "multipart/form-data"}
    response = server.http.request(method, url(path, "nottingham"), content=b"no boundary", headers=headers)
    check_named(response, 400 if forms else 415, method, path)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"surely": "unknown"}', b"\xff", b'"' + b"[" * 30_000])
@taking("requestBody")
def test_a_body_that_makes_no_sense(server: Server, method: str, path: str, content: bytes) -> None:
    content_types = OPERATIONS[method, path]["requestBody"]["content"]
    if "application/json" in content_types:
        headers = {"Content-Type": "application/json"}
        response = server.http.request(method, url(path, "nottingham"), content=content, headers=headers)
        check_named(response, 422, method, path)
    if "multipart/form-data" in content_types:
        field = {"generate": "primer", "create_model": "file"}.get(named(method, path), "files")
        files = {field: ("a.mid", midi_file())}
        response = server.http.request(method, url(path, "nottingham"), data={"config": content}, files=files)
        check_named(response, 422, method, path)


@taking("parameters")
def test_query_parameters_that_make_no_sense(server: Server, method: str, path: str) -> None:
    names = {parameter["name"] for parameter in OPERATIONS[method, path]["parameters"] if parameter["in"] == "query"}
    for name in names & WRONG_QUERIES.keys():
        response = server.http.request(method, url(path), params={name: WRONG_QUERIES[name]})
        assert name in check_named(response, 422, method, path)["errors"][0]["field"]


@pytest.fixture(scope="module")
def without_redis(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], httpx.Response]:
    """What every route answers to a request that is in order, while Redis cannot be reached."""
    data: Path = tmp_path_factory.mktemp("without")
    app = create_app(Settings(data=str(data), redis_url="redis://127.0.0.1:1"))
    requests = {key: IN_ORDER.get(operation["operationId"], {}) for key, operation in OPERATIONS.items()}

    async def ask() -> dict[tuple[str, str], httpx.Response]:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=60) as client,
        ):

            def answer(key: tuple[str, str]) -> Coroutine[Any, Any, httpx.Response]:
                return client.request(key[0], url(key[1], "nottingham"), **requests[key])

            asking = [*WITH_REDIS, ("GET", "/metrics")]  # each tries for seconds, so all of them at once
            found = dict(zip(asking, await asyncio.gather(*map(answer, asking)), strict=True))
            return found | {key: await answer(key) for key in requests if key not in found}

    return asyncio.run(ask())


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_without_redis(without_redis: dict[tuple[str, str], httpx.Response], method: str, path: str) -> None:
    response = without_redis[method, path]
    if (method, path) in WITH_REDIS:
        check_named(response, 503, method, path)
        assert int(response.headers["retry-after"]) > 0
    elif response.is_error:
        check_named(response, response.status_code, method, path)
        assert response.status_code < 500


def test_more_jobs_than_may_wait_are_refused_for_a_while(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = start(tmp_path_factory.mktemp("full"), RNNRBM_MAX_QUEUED="2", RNNRBM_TRAIN_WORKERS="0")
    try:
        corpus = server.http.post("/corpora", files=[("files", ("a.mid", midi_file()))]).json()["id"]
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: server.http.post("/train", json={"corpus": corpus}), range(12)))
        refused = [answer for answer in answers if answer.status_code != 202]
        assert refused
        for answer in refused:
            check(answer, 429)
            assert int(answer.headers["retry-after"]) > 0
    finally:
        server.stop()
