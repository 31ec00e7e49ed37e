"""The Python client and `rnnrbm --url`, against the real program."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from PIL import Image

from client import ApiError, Client, ClientError, JobError, Progress, UnreachableError
from client.options import EvaluateOptions, GenerateOptions, TrainOptions
from tests.command_line import status_of
from tests.e2e.conftest import Server, start
from tests.pieces import midi_file
from worker.protocol import EvaluateParams, GenerateParams, TrainParams

SMALL = {"recipe": "tutorial", "epochs": 3, "n_hidden": 20, "n_hidden_recurrent": 10, "steps_per_beat": 2}
EVENTS = 'id: 1-0\nevent: started\ndata: {}\n\n: ping\n\nid: 2-0\nevent: progress\ndata: {"step": 1, "total": 2}\n\n'
END = {
    "id": "j",
    "kind": "train",
    "status": "succeeded",
    "result": {"model": "j"},
    "created_at": "2026-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with Client(str(server.http.base_url)) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pieces, one of them in a folder below, and a file that is none."""
    (tmp_path / "tunes" / "more").mkdir(parents=True)
    (tmp_path / "tunes" / "one.mid").write_bytes(midi_file(1))
    (tmp_path / "tunes" / "more" / "two.MID").write_bytes(midi_file(2))
    (tmp_path / "tunes" / "notes.txt").write_text("no music")
    return tmp_path / "tunes"


def rnnrbm(server: Server, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", "--url", str(server.http.base_url), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("options", "params"),
    [(GenerateOptions, GenerateParams), (TrainOptions, TrainParams), (EvaluateOptions, EvaluateParams)],
)
def test_the_options_are_those_of_the_service(options: type, params: type) -> None:
    assert options.__annotations__.keys() == params.model_fields.keys()


def test_two_files_are_trained_on_followed_and_played(client: Client, folder: Path, tmp_path: Path) -> None:
    job = client.train([folder / "one.mid", folder / "more" / "two.MID", folder / "notes.txt"], **SMALL, name="ours")
    assert [file.file for file in job.refused] == ["notes.txt"]
    seen: list[Progress] = []
    ended = client.wait(job.id, seen.append)
    assert ended.status == "succeeded"
    assert [progress.step for progress in seen] == [0, 1, 2, 3]
    assert "monitor" in seen[-1].metrics
    assert client.job(job.id).result == ended.result

    one, again, other = (client.generate(model="ours", length=40, seed=seed) for seed in (7, 7, 8))
    assert one.data == again.data != other.data
    assert (one.seed, one.media_type, one.data[:4]) == (7, "audio/midi", b"MThd")
    picture = client.generate(model="ours", length=40, form="image/png")
    picture.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG"

    model = client.model("ours")
    assert (model.id, model.config["n_hidden"], (model.corpus or {})["pieces"]) == (ended.result["model"], 20, 2)
    assert model.id in [listed.id for listed in client.models()]
    client.download("ours", tmp_path / "ours.safetensors")
    assert b'"Wuh"' in (tmp_path / "ours.safetensors").read_bytes()[:2000]
    returned = client.bring(tmp_path / "ours.safetensors", name="returned")
    assert returned.model_extra["sha256"] == model.model_extra["sha256"]
    assert client.generate(model="returned", length=40, seed=7, tempo=120).data == one.data
    client.delete_model(model.id)
    with pytest.raises(ApiError, match="there is no model"):
        client.model("ours")


def test_a_folder_is_the_corpus_of_its_files(client: Client, folder: Path) -> None:
    corpus = client.upload([folder])
    assert (corpus.files, corpus.usable, corpus.refused) == (2, 2, [])
    assert client.upload([folder / "one.mid", folder / "more" / "two.MID"]).digest == corpus.digest
    assert corpus.id in [listed.id for listed in client.corpora()]
    job = client.wait(client.train_on(corpus.id, **SMALL).id)
    assert client.model(job.result["model"]).corpus["pieces"] == 2


def test_a_model_is_evaluated_on_a_folder(client: Client, server: Server, folder: Path) -> None:
    job = client.wait(client.evaluate("nottingham", [folder], temperatures=50, pieces=2).id)
    assert job.result["frames"] > 50
    assert job.result["log_likelihood"] < 0
    shown = rnnrbm(server, "evaluate", "nottingham", folder, "--config", '{"temperatures": 50, "pieces": 2}')
    assert json.loads(shown.stdout)["log_likelihood"] == job.result["log_likelihood"]


def test_a_piece_goes_on_from_a_file(client: Client, folder: Path) -> None:
    piece = client.generate(form="application/json", primer=folder / "one.mid", length=10, seed=1)
    body = json.loads(piece.data)
    assert body["length"] == body["primer_length"] + 10


def test_a_piece_that_takes_long_comes_all_the_same(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.api.WAIT_SECONDS", 0)
    later = client.generate(length=2000, seed=3)
    monkeypatch.undo()
    assert later.data == client.generate(length=2000, seed=3).data


def test_who_is_told_to_wait_waits(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(tmp_path / "data", RNNRBM_MAX_QUEUED="1")
    long = {**SMALL, "epochs": 10_000}
    try:
        with Client(str(server.http.base_url)) as client:
            running = client.train([folder], **long)
            next(event for event in client.follow(running.id) if event.event == "started")
            waiting = client.train([folder], **long)
            monkeypatch.setattr("client.api.PATIENCE", 1.0)
            with pytest.raises(ApiError, match="Too Many Requests") as raised:
                client.train([folder], **long)
            assert raised.value.retry_after
            monkeypatch.undo()
            threading.Timer(2, client.cancel, [waiting.id]).start()
            late = client.train([folder], **SMALL)
            client.cancel(running.id)
            assert client.wait(late.id).status == "succeeded"
    finally:
        assert server.stop() == 0


def test_lists_are_read_to_their_end(client: Client, server: Server) -> None:
    made = [client.generate(length=2, seed=seed).id for seed in range(52)]
    noted = client.generate(length=2, metadata={"who": "a client", "run": "1"}).id
    assert [job.id for job in client.jobs(metadata={"run": "1", "who": "a client"})] == [noted]
    made.append(noted)
    listed = [job.id for job in client.jobs(kind="generate", status="succeeded")]
    assert listed[:53] == made[::-1]
    assert len(listed) == len(set(listed))


def test_a_problem_says_what_was_wrong_with_which_file(client: Client, folder: Path) -> None:
    with pytest.raises(ApiError) as raised:
        client.train([folder / "notes.txt"])
    error = raised.value
    assert (error.status, error.title) == (422, "Unprocessable Entity")
    assert [file.file for file in error.refused] == ["notes.txt"]
    assert "notes.txt: its name does not end in .mid" in str(error)
    with pytest.raises(ApiError) as raised:
        client.generate(length=0)
    assert raised.value.errors[0]["field"] == "length"


def test_a_cancelled_job_is_no_result(client: Client) -> None:
    behind = [client.train_on(next(client.corpora()).id, **{**SMALL, "epochs": 10_000}).id for _ in range(2)]
    client.cancel(behind[1])
    with pytest.raises(JobError, match="cancelled"):
        client.wait(behind[1])
    client.cancel(behind[0])


def test_files_and_services_that_are_not_there_are_named(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"none\.mid: No such file"):
        client.train([tmp_path / "none.mid"])
    with pytest.raises(ClientError, match=r"there are no \.mid"):
        client.train([tmp_path])
    with pytest.raises(ClientError, match="No such file"):
        client.download("nottingham", tmp_path / "no" / "folder")
    for url in ("http://127.0.0.1:1", "nonsense", "http://["):
        with pytest.raises(UnreachableError), Client(url) as nowhere:
            nowhere.job("x")


def test_a_lost_event_stream_goes_on_from_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("last-event-id"))
        if len(asked) == 2:
            raise httpx.ConnectError("refused", request=request)
        end = f"id: 3-0\nevent: end\ndata: {json.dumps(END)}\n\n"
        text = EVENTS if len(asked) == 1 else end
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=text)

    monkeypatch.setattr("time.sleep", lambda _: None)
    client = Client("http://service")
    client._http = httpx.Client(base_url="http://service", transport=httpx.MockTransport(answer))
    steps: list[int] = []
    assert client.wait("j", lambda progress: steps.append(progress.step)).result == {"model": "j"}
    assert (asked, steps) == ([None, "2-0", "2-0"], [1])


def test_the_command_trains_plays_and_shows_on_a_service(server: Server, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mid").write_text("no music")
    trained = rnnrbm(server, "train", folder, tmp_path / "bad.mid", "--config", json.dumps({**SMALL, "name": "cli"}))
    assert trained.returncode == 0, trained.stderr
    refusal, model_id = trained.stdout.splitlines()
    assert refusal.startswith("not used: bad.mid: ")
    assert "3/3" in trained.stderr
    for name, magic in (("out.mid", b"MThd"), ("out.png", b"\x89PNG"), ("out.json", b"{")):
        made = rnnrbm(server, "generate", tmp_path / name, "--config", '{"model": "cli", "length": 20}')
        assert made.returncode == 0, made.stderr
        assert (tmp_path / name).read_bytes().startswith(magic)
    assert model_id in rnnrbm(server, "models").stdout
    assert json.loads(rnnrbm(server, "models", "cli").stdout)["id"] == model_id
    assert rnnrbm(server, "models", "cli", "--download", tmp_path / "cli.safetensors").returncode == 0
    assert (tmp_path / "cli.safetensors").stat().st_size > 1000
    assert f"{model_id}  train  succeeded  3/3" in rnnrbm(server, "jobs").stdout
    assert json.loads(rnnrbm(server, "jobs", model_id, "--follow").stdout)["result"]["model"] == model_id


def test_ctrl_c_keeps_what_a_service_has_learned(server: Server, folder: Path) -> None:
    config = json.dumps({**SMALL, "epochs": 10_000, "n_hidden": 1000, "name": "interrupted"})
    command = [sys.executable, "-m", "worker.cli", "--url", str(server.http.base_url), "train", str(folder),
               "--config", config]  # fmt: skip
    # a shell that runs the tests in its background has them, and all that they start, ignore the signal
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, heard)
    with Client(str(server.http.base_url)) as client:
        job = None
        while not (job and job.progress and job.progress.step > 2):
            time.sleep(0.05)
            job = next((job for job in client.jobs(kind="train", status="running")), None)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert client.job(job.id).status == "cancelled"
        assert client.model(output.split()[-1]).name == "interrupted"


def test_a_key_lets_in(tmp_path: Path) -> None:
    key = "rnnrbm_key"
    server = start(
        tmp_path,
        RNNRBM_API_KEYS=sha256(key.encode()).hexdigest(),
        RNNRBM_TRAIN_WORKERS="0",
        RNNRBM_EVALUATE_WORKERS="0",
    )
    try:
        refused = rnnrbm(server, "models")
        assert (refused.returncode, "Unauthorized: this needs a key" in refused.stderr) == (2, True)
        assert "nottingham" in rnnrbm(server, "--key", key, "models").stdout
        assert "nottingham" in rnnrbm(server, "models", RNNRBM_KEY=key).stdout
        with Client(str(server.http.base_url), key) as client, pytest.raises(ApiError, match="there is no job"):
            client.wait("none")
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("arguments", [("models",), ("jobs", "x")])
def test_what_only_a_service_can_do_asks_for_one(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "worker.cli", *arguments]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.returncode, "--url" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "nowhere"), "nowhere: No such file"),
        (("train", "README.md"), "README.md: its name does not end in .mid"),
        (("train", "README.md", "--config", "{"), "JSON"),
        (("train", "README.md", "--data", "var"), "--data"),
        (("generate", "x.mid", "--config", '{"model": "none"}'), "there is no model 'none'"),
        (("generate", "x.mid", "--config", '{"nonsense": 1}'), "nonsense"),
        (("generate", "no/folder/x.mid", "--config", '{"length": 2}'), "no/folder/x.mid: No such file"),
        (("models", "--download", "x"), "--download wants a model"),
        (("jobs", "none"), "there is no job 'none'"),
        (("jobs", "--follow"), "want a job"),
        (("serve",), "takes no --url"),
    ],
)
def test_errors_of_the_command_are_said_in_words(
    server: Server, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of("--url", str(server.http.base_url), *arguments) == 2
    assert words in capsys.readouterr().err
