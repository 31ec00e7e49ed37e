"""Corpora through the API: what became of each file, statistics, names."""

import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.e2e.conftest import Server
from tests.e2e.test_problems import check
from tests.pieces import midi_file, zip_file


def upload(server: Server, seeds: range, *others: tuple[str, bytes], **config: object) -> httpx.Response:
    files = [("files", (f"piece{seed}.mid", midi_file(seed, bars=5))) for seed in seeds]
    form = {"config": json.dumps(config)} if config else None
    return server.http.post("/corpora", files=[*files, *(("files", other) for other in others)], data=form)


@pytest.fixture(scope="module")
def corpus(server: Server) -> dict[str, Any]:
    archive = zip_file({"folder/inside.mid": midi_file(9, bars=5), "folder/read.me": b"x"})
    response = upload(server, range(3), ("notes.txt", b"x"), ("all.zip", archive), ("cut.mid", b"MThd"), name="reels")
    assert response.status_code == 201, response.text
    return response.json()


def test_every_file_is_reported_in_order_page_by_page(server: Server, corpus: dict[str, Any]) -> None:
    path = f"/corpora/{corpus['id']}/files"
    whole = server.http.get(path).json()
    assert whole["next"] is None
    names = ["piece0.mid", "piece1.mid", "piece2.mid", "notes.txt", "folder/inside.mid", "folder/read.me", "cut.mid"]
    assert [row["file"] for row in whole["items"]] == names
    assert corpus["files"] == len(names)
    usable = [row for row in whole["items"] if row["reason"] is None]
    assert len(usable) == corpus["usable"] == 4
    assert all((row["key"], row["tempo"], row["seconds"], row["beats"]) == ("C major", 120, 10, 20) for row in usable)
    assert sum(row["notes"] for row in usable) == corpus["notes"]
    refused = [{"file": row["file"], "reason": row["reason"]} for row in whole["items"] if row["reason"]]
    assert refused == corpus["refused"]

    seen, cursor = [], None
    while not seen or cursor:
        page = server.http.get(path, params={"limit": 3, **({"after": cursor} if cursor else {})}).json()
        assert len(page["items"]) <= 3
        seen += page["items"]
        cursor = page["next"]
    assert seen == whole["items"]


def test_a_cursor_of_another_list_is_refused(server: Server, corpus: dict[str, Any]) -> None:
    path = f"/corpora/{corpus['id']}/files"
    for cursor in ("0", "9" * 200, "x", corpus["id"], "-5"):
        assert "after" in check(server.http.get(path, params={"after": cursor}), 422)["detail"]


def test_a_cursor_between_two_files_goes_on_with_the_next(server: Server, corpus: dict[str, Any]) -> None:
    path = f"/corpora/{corpus['id']}/files"
    rows = server.http.get(path).json()["items"]
    assert server.http.get(path, params={"after": "2"}).json()["items"] == rows[1:]
    for far in ("999999", "9" * 15):
        assert server.http.get(path, params={"after": far}).json() == {"items": [], "next": None}


def test_a_corpus_has_statistics_and_their_picture(server: Server, corpus: dict[str, Any]) -> None:
    found = server.http.get(f"/corpora/{corpus['id']}").json()
    assert found["name"] == "reels"
    statistics = found["statistics"]
    assert sum(statistics["pitches"]) == corpus["notes"]
    assert sum(statistics["polyphony"]) == corpus["frames"]
    assert statistics["keys"] == {"C major": 4}
    assert statistics["seconds"] == {"least": 10, "median": 10, "most": 10}
    pictures = [server.http.get(f"/corpora/{corpus['id']}/statistics.png") for _ in range(2)]
    assert pictures[0].headers["content-type"] == "image/png"
    assert pictures[0].content == pictures[1].content
    assert Image.open(io.BytesIO(pictures[0].content)).format == "PNG"


def test_the_same_content_under_another_name_is_the_same_corpus_renamed(server: Server) -> None:
    first = upload(server, range(20, 22), name="before").json()
    picture = server.http.get(f"/corpora/{first['id']}/statistics.png").content
    second = upload(server, range(20, 22), name="after", description="again").json()
    assert second["id"] == first["id"]
    found = server.http.get(f"/corpora/{first['id']}").json()
    assert (found["name"], found["description"]) == ("after", "again")
    assert upload(server, range(20, 22)).json()["name"] == "after"
    assert server.http.get(f"/corpora/{first['id']}/statistics.png").content != picture


def test_a_config_that_says_something_else_is_refused(server: Server) -> None:
    assert "epochs" in check(upload(server, range(1), epochs=3), 422)["detail"]
    assert "name" in check(upload(server, range(1), name="../x"), 422)["detail"]


def test_a_deleted_corpus_is_gone_with_its_report(server: Server) -> None:
    corpus = upload(server, range(30, 31)).json()
    path = f"/corpora/{corpus['id']}"
    assert server.http.delete(path).status_code == 204
    for tail in ("", "/files", "/statistics.png"):
        check(server.http.get(path + tail), 404)
