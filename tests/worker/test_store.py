"""The artefact store."""

from pathlib import Path

import pytest

from worker.errors import NotFoundError, StoreError
from worker.protocol import new_id
from worker.store import CORPUS, GENERATION, MODEL, ArtefactStore


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtefactStore:
    """On a directory, and on fsspec's memory, which stands for object stores."""
    return ArtefactStore(str(tmp_path) if request.param == "local" else f"memory://{new_id()}")


def test_what_is_published_can_be_read(store: ArtefactStore) -> None:
    store.publish(GENERATION, "a1", {"id": "a1", "x": 1}, {"piece.mid": b"MThd"})
    assert store.record(GENERATION, "a1") == {"id": "a1", "x": 1}
    assert store.file(GENERATION, "a1", "piece.mid") == b"MThd"


def test_publishing_twice_is_harmless(store: ArtefactStore) -> None:
    for _ in range(2):
        store.publish(GENERATION, "a1", {"id": "a1"}, {"piece.mid": b"MThd"})
    assert store.keys(GENERATION) == ["a1"]


@pytest.mark.parametrize("key", ["missing", "", "..", "../models/0-nottingham", "a/b", "a.b", "é"])
def test_what_is_not_there_is_not_found_and_no_key_leaves_its_folder(store: ArtefactStore, key: str) -> None:
    with pytest.raises(NotFoundError):
        store.record(GENERATION, key)
    with pytest.raises(NotFoundError):
        store.delete(GENERATION, key)


def test_pages_are_newest_first_and_follow_each_other(store: ArtefactStore) -> None:
    assert store.page(GENERATION, None, 2) == ([], None)
    for key in ("k1", "k3", "k2", "k5", "k4"):
        store.publish(GENERATION, key, {"id": key}, {})
    seen, cursor = [], None
    for size in (2, 2, 1):
        records, cursor = store.page(GENERATION, cursor, 2)
        assert len(records) == size
        seen += [record["id"] for record in records]
    assert seen == ["k5", "k4", "k3", "k2", "k1"]
    assert cursor is None


def test_a_deleted_artefact_is_gone_whole(store: ArtefactStore) -> None:
    store.publish(GENERATION, "a1", {"id": "a1"}, {"piece.mid": b"MThd"})
    store.delete(GENERATION, "a1")
    assert store.keys(GENERATION) == []
    with pytest.raises(NotFoundError):
        store.file(GENERATION, "a1", "piece.mid")


def test_an_artefact_without_its_record_is_not_there(store: ArtefactStore) -> None:
    store.write_file(GENERATION, "half", "piece.mid", b"MThd")
    assert store.page(GENERATION, None, 10) == ([], None)


def test_a_corpus_is_found_by_its_content_until_it_is_deleted(store: ArtefactStore) -> None:
    record = {"id": "c1", "digest": "d" * 64}
    store.publish_corpus(record, b"zip")
    assert store.corpus_with("d" * 64) == record
    store.delete(CORPUS, "c1")
    assert store.corpus_with("d" * 64) is None


def test_a_model_is_found_by_id_and_the_newest_by_name(store: ArtefactStore) -> None:
    for key in ("m1", "m2"):
        store.publish(MODEL, key, {"id": key, "name": "mine"}, {})
    assert store.find_model("m1")["id"] == "m1"
    assert store.find_model("mine")["id"] == "m2"
    store.delete(MODEL, "m2")
    assert store.find_model("mine")["id"] == "m1"
    with pytest.raises(NotFoundError):
        store.find_model("other")


def test_the_bundled_model_is_there_and_cannot_be_deleted(store: ArtefactStore) -> None:
    bundled = store.find_model("nottingham")
    assert len(store.file(MODEL, bundled["id"], "model.safetensors")) == bundled["size"] <= 1_000_000
    with pytest.raises(StoreError, match="comes with the program"):
        store.delete(MODEL, bundled["id"])


def test_checkpoints_come_and_go(store: ArtefactStore) -> None:
    assert store.checkpoint("j1") is None
    store.write_checkpoint("j1", b"one")
    store.write_checkpoint("j1", b"two")
    assert store.checkpoint("j1") == b"two"
    store.drop_checkpoint("j1")
    assert store.checkpoint("j1") is None


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        ArtefactStore(str(tmp_path / "file")).write_checkpoint("j1", b"x")
