"""Whatever is wrong with a request, on whatever route: the answer is a problem."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.conftest import Server, start
from tests.e2e.test_problems import check
from tests.pieces import midi_file

METHODS = {"DELETE", "GET", "PATCH", "POST", "PUT"}


@pytest.fixture(scope="module")
def paths(server: Server) -> dict[str, dict]:
    """Path to operations by method."""
    described = server.http.get("/openapi.json").json()["paths"]
    return {
        path: {name.upper(): operation for name, operation in methods.items()} for path, methods in described.items()
    }


def operations(paths: dict[str, dict]) -> Iterator[tuple[str, str, dict]]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield method, path, operation


def without_ids(path: str) -> str:
    return path.replace("{", "no-").replace("}", "")


def check_if_error(response: httpx.Response, *expected: int) -> None:
    where = f"{response.request.method} {response.request.url}"
    assert response.status_code < 400 or response.status_code in expected, where
    if response.status_code >= 400:
        check(response, response.status_code)


def test_what_is_not_there_is_404(server: Server, paths: dict[str, dict]) -> None:
    asked = [(method, path) for method, path, operation in operations(paths) if "{" in path]
    assert len(asked) > 10
    for method, path in asked:
        if method in ("GET", "DELETE"):
            check(server.http.request(method, without_ids(path)), 404)


def test_another_method_is_405_and_all_that_are_possible_are_named(server: Server, paths: dict[str, dict]) -> None:
    for path, methods in paths.items():
        for method in METHODS - methods.keys():
            response = server.http.request(method, without_ids(path))
            check(response, 405)
            assert set(response.headers["allow"].split(", ")) == methods.keys(), f"{method} {path}"


def test_a_form_that_is_not_there_is_406(server: Server, paths: dict[str, dict]) -> None:
    headers = {"Accept": "video/mp4"}
    for method, path, _ in operations(paths):
        if method == "GET":
            check_if_error(server.http.get(without_ids(path), headers=headers), 404, 406, 422)
    check(server.http.post("/generate", headers=headers), 406)
    piece = server.http.post("/generate", json={"length": 5}).headers["location"]
    check(server.http.get(piece, headers=headers), 406)


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("text/xml", b"<a/>", 415),
        ("multipart/form-data", b"no boundary", 400),
        ("application/json", b"{", 422),
        ("application/json", b'{"surely": "unknown"}', 422),
        ("application/json", b"x" * 2_000_001, 413),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    server: Server, paths: dict[str, dict], content_type: str, content: bytes, status: int
) -> None:
    taking = [(method, path) for method, path, operation in operations(paths) if "requestBody" in operation]
    assert len(taking) >= 3
    for method, path in taking:
        headers = {"Content-Type": content_type}
        response = server.http.request(method, without_ids(path), content=content, headers=headers)
        check_if_error(response, status, 404, 415)
        assert response.status_code >= 400, f"{method} {path}"


def test_query_parameters_are_checked(server: Server, paths: dict[str, dict]) -> None:
    lists = [path for method, path, operation in operations(paths) if "limit" in str(operation.get("parameters"))]
    assert len(lists) >= 4
    for path in lists:
        for query in ({"limit": 0}, {"limit": 201}, {"after": "../x"}):
            check(server.http.get(path, params=query), 422)


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
