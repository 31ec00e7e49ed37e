"""Every line of curl in docs/api.md does what it says, and none is missing."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Server, start
from tests.e2e.curl import curl, substituted
from tests.pieces import midi_file, zip_file
from worker.protocol import EvaluateParams, GenerateParams, TrainParams

API = Path(__file__).parents[2] / "docs" / "api.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", API.read_text(), re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
NAMED = re.compile(r"\$(\w+): ([\w.-]+)")
BEGINS = {
    ".mid": b"MThd",
    ".png": b"\x89PNG",
    ".wav": b"RIFF",
    ".zip": b"PK",
    ".json": b"{",
    ".safetensors": b"",
}


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    webhooks = {"RNNRBM_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "RNNRBM_WEBHOOK_PRIVATE": "1"}
    server = start(tmp_path_factory.mktemp("docs"), **webhooks)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader of the documentation sits, with the files that it speaks of."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "tune.mid").write_bytes(midi_file(1))
    (folder / "tunes.zip").write_bytes(zip_file({f"{seed}.mid": midi_file(seed) for seed in range(2, 5)}))
    return folder


def named(answer: httpx.Response, member: str) -> str:
    """The member of an answer, or its header."""
    if member in answer.headers:
        return answer.headers[member]
    value = answer.json()
    for name in member.split("."):
        value = value[name]
    assert isinstance(value, str), f"{member} is {value!r}"
    return value


@pytest.fixture(scope="module")
def performed(documented: Server, folder: Path) -> list[httpx.Response]:
    """The answers to all lines, in their order."""
    variables = {"KEY": "rnnrbm_unneeded"}
    answers: list[httpx.Response] = []
    for line in LINES:
        if line.startswith("#"):
            variables |= {name: named(answers[-1], member) for name, member in NAMED.findall(line)}
            continue
        if line.startswith("sleep "):
            time.sleep(float(line.removeprefix("sleep ")))
            continue
        answers.append(curl(documented.http, substituted(line, variables), folder))
        assert answers[-1].is_success, f"{line}\n{answers[-1].text}"
        if output := re.search(r"-o \S+(\.\w+)", line):
            assert answers[-1].status_code == 200, f"{line} writes no file"
            assert answers[-1].content.startswith(BEGINS[output[1]]), line
        if line.startswith("curl -N") and "Last-Event-ID" not in line:
            assert "event: end" in answers[-1].text, line
            assert '"status":"succeeded"' in answers[-1].text.replace(" ", ""), f"{line}\n{answers[-1].text}"
    return answers


def test_every_line_works(performed: list[httpx.Response]) -> None:
    assert len(performed) == sum(line.startswith("curl ") for line in LINES) > 50


def test_no_route_is_left_out(documented: Server, performed: list[httpx.Response]) -> None:
    asked = {(answer.request.method, answer.request.url.path) for answer in performed}
    missing = []
    for path, operations in documented.http.get("/openapi.json").json()["paths"].items():
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        for method in operations:
            if not any(verb == method.upper() and pattern.fullmatch(found) for verb, found in asked):
                missing.append(f"{method.upper()} {path}")
    assert not missing, f"docs/api.md has no line for {', '.join(missing)}"


@pytest.mark.parametrize(
    ("params", "heading"), [(GenerateParams, "Pieces"), (TrainParams, "Training"), (EvaluateParams, "Models")]
)
def test_no_option_is_left_out(params: type, heading: str) -> None:
    section = re.search(rf"^## {heading}\n(.*?)^## ", API.read_text(), re.MULTILINE | re.DOTALL)
    rows = [row.split("|")[1] for row in section[1].splitlines() if row.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == params.model_fields.keys()


def test_the_answers_shown_are_the_services(documented: Server, folder: Path) -> None:
    text = API.read_text()
    line, shown = re.search(r"^    \$ (curl .*)\n((?:    .*\n)+)", text, re.MULTILINE).groups()
    assert curl(documented.http, line, folder).json() == json.loads(shown)
