"""The artefact store."""

import time
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
    for data in (b"one", b"two"):
        store.publish(GENERATION, "a1", {"id": "a1", "data": data.decode()}, {"piece.mid": data})
    assert store.keys(GENERATION) == ["a1"]
    assert store.record(GENERATION, "a1")["data"] == "two"
    assert store.file(GENERATION, "a1", "piece.mid") == b"two"


def test_nothing_temporary_is_left_in_a_directory(tmp_path: Path) -> None:
    store = ArtefactStore(str(tmp_path))
    for _ in range(2):
        store.publish(GENERATION, "a1", {"id": "a1"}, {"piece.mid": b"MThd"})
    store.write_file(GENERATION, "a1", "piece.png", b"PNG")
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        store.publish(MODEL, "m1", {"id": "m1"}, {})
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"models", *(f"generations/a1/{name}" for name in ("generation.json", "piece.mid", "piece.png"))}


def test_what_a_power_failure_left_empty_is_not_there(store: ArtefactStore) -> None:
    store.publish(GENERATION, "a1", {"id": "a1"}, {"piece.mid": b""})
    with pytest.raises(NotFoundError):
        store.file(GENERATION, "a1", "piece.mid")
    store.write_file(GENERATION, "a1", "generation.json", b"")
    assert store.page(GENERATION, None, 10) == ([], None)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_directory_may_be_given_as_url(tmp_path: Path, scheme: str) -> None:
    ArtefactStore(f"{scheme}{tmp_path}/deep/data").publish(GENERATION, "a1", {"id": "a1"}, {})
    assert (tmp_path / "deep" / "data" / "generations" / "a1" / "generation.json").is_file()


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
    store.publish_corpus(record)
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
    for reference in ("m2", "other", "", ".."):
        with pytest.raises(NotFoundError):
            store.find_model(reference)


def test_a_model_that_was_published_again_is_found_as_it_is_now(store: ArtefactStore) -> None:
    for size in (1, 2):
        store.publish(MODEL, "m1", {"id": "m1", "name": "mine", "size": size}, {})
        assert store.find_model("m1")["size"] == store.find_model("mine")["size"] == size


def test_a_name_that_another_process_changed_is_found(tmp_path: Path) -> None:
    one, other = ArtefactStore(str(tmp_path)), ArtefactStore(str(tmp_path))
    one.publish(MODEL, "m1", {"id": "m1", "name": "before"}, {"model.safetensors": b"x"})
    assert other.find_model("before")["id"] == "m1"
    assert one.update(MODEL, "m1", {"name": "after"})["name"] == "after"
    for store in (one, other):
        assert store.find_model("after")["name"] == "after"
        with pytest.raises(NotFoundError):
            store.find_model("before")


def test_a_record_that_is_changed_while_it_is_deleted_does_not_come_back(store: ArtefactStore) -> None:
    store.publish(MODEL, "m1", {"id": "m1", "name": "mine"}, {})  # as if its weights were gone already
    with pytest.raises(NotFoundError):
        store.update(MODEL, "m1", {"name": "other"})
    assert "m1" not in store.keys(MODEL)


def test_the_default_model_is_the_chosen_one_while_it_is_there(store: ArtefactStore) -> None:
    assert store.find_model("default")["name"] == "nottingham"
    store.publish(MODEL, "m1", {"id": "m1", "name": "mine"}, {})
    assert store.choose_default("mine")["id"] == store.find_model("default")["id"] == "m1"
    store.publish(MODEL, "m2", {"id": "m2", "name": "mine"}, {})
    assert store.find_model("default")["id"] == "m2"
    with pytest.raises(NotFoundError):
        store.choose_default("default")
    for key in ("m1", "m2"):
        store.delete(MODEL, key)
    assert store.find_model("default")["name"] == "nottingham"
    store.publish(MODEL, "m3", {"id": "m3", "name": "mine"}, {})
    store.forget_default()
    assert store.find_model("default")["name"] == "nottingham"


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


def write_half(store: ArtefactStore) -> None:
    with store.new_file(CORPUS, "c1", "pieces.zip") as file:
        file.write(b"half")
        raise EOFError


def test_a_large_file_is_there_once_it_is_whole(store: ArtefactStore) -> None:
    with pytest.raises(EOFError):
        write_half(store)
    with pytest.raises(NotFoundError):
        store.open_file(CORPUS, "c1", "pieces.zip")
    with store.new_file(CORPUS, "c1", "pieces.zip") as file:
        file.write(b"whole")
    with store.open_file(CORPUS, "c1", "pieces.zip") as file:
        assert (file.read(), file.seek(2), file.read()) == (b"whole", 2, b"ole")


def test_a_large_file_that_was_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(EOFError):
        write_half(ArtefactStore(str(tmp_path)))
    assert list((tmp_path / "corpora" / "c1").iterdir()) == []


@pytest.mark.parametrize("key", ["missing", "..", "../models", "a/b"])
def test_a_large_file_that_is_not_there_is_not_found(store: ArtefactStore, key: str) -> None:
    with pytest.raises(NotFoundError):
        store.open_file(CORPUS, key, "corpus.json")


def test_a_large_file_needs_an_id_and_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for root, key in ((tmp_path, ".."), (tmp_path / "file", "c1")):
        with pytest.raises(StoreError), ArtefactStore(str(root)).new_file(CORPUS, key, "pieces.zip"):
            pass


def test_the_newest_files_of_a_kind_are_kept(store: ArtefactStore) -> None:
    for name in ("rolls-2", "rolls-1", "rolls-3", "other"):
        store.write_file(CORPUS, "c1", name, b"x")
        time.sleep(0.01)
    store.keep_newest(CORPUS, "c1", "rolls-", 2)
    assert store.file(CORPUS, "c1", "rolls-1") + store.file(CORPUS, "c1", "rolls-3") == b"xx"
    assert store.file(CORPUS, "c1", "other") == b"x"
    with pytest.raises(NotFoundError):
        store.file(CORPUS, "c1", "rolls-2")
    store.keep_newest(CORPUS, "missing", "rolls-", 2)


def test_what_was_added_to_a_deleted_artefact_is_swept_away(store: ArtefactStore) -> None:
    store.publish(CORPUS, "c1", {"id": "c1"}, {})
    store.write_file(CORPUS, "c1", "rolls", b"x")
    store.sweep(CORPUS, "c1")
    assert store.file(CORPUS, "c1", "rolls") == b"x"
    store.write_file(CORPUS, "c2", "rolls", b"x")
    store.sweep(CORPUS, "c2")
    assert store.keys(CORPUS) == ["c1"]
