"""Rolls of stored corpora: made once, kept beside the corpus, never trusted blindly."""

import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.config import ModelConfig
from model.corpus import PackedRolls
from tests.midi_files import midi, note
from tests.pieces import midi_file, piece
from worker import rolls as module
from worker.context import Interrupted
from worker.corpora import ingest
from worker.errors import NotFoundError, StoreError
from worker.protocol import new_id
from worker.rolls import corpus_rolls
from worker.settings import Settings
from worker.store import CORPUS, ArtefactStore

CONFIG = ModelConfig(dt=None, steps_per_beat=2)
FILE = "rolls-beat2-21-109.npz"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtefactStore:
    """On a directory, and on fsspec's memory, which stands for object stores."""
    return ArtefactStore(str(tmp_path) if request.param == "local" else f"memory://{new_id()}")


def stored(store: ArtefactStore, *files: bytes) -> dict[str, Any]:
    named = [(f"{index}.mid", BytesIO(data)) for index, data in enumerate(files or (midi_file(0), midi_file(1)))]
    return ingest(store, named, Settings())


def count(store: ArtefactStore, corpus: dict[str, Any], config: ModelConfig = CONFIG) -> int:
    """How many pieces are read to get the corpus's rolls."""
    read = []
    corpus_rolls(store, corpus, config, on_piece=lambda: read.append(1))
    return len(read)


def same(one: PackedRolls, other: PackedRolls) -> bool:
    return np.array_equal(one.bits, other.bits) and np.array_equal(one.offsets, other.offsets)


def test_rolls_are_made_once(store: ArtefactStore) -> None:
    corpus = stored(store)
    first = corpus_rolls(store, corpus, CONFIG)
    assert {roll.tobytes() for roll in first} == {piece(0).tobytes(), piece(1).tobytes()}
    assert same(corpus_rolls(store, corpus, CONFIG), first)
    assert count(store, corpus) == 0
    assert count(store, stored(store)) == 0


def test_each_time_step_and_pitch_range_has_rolls_of_its_own(store: ArtefactStore) -> None:
    corpus = stored(store)
    others = [replace(CONFIG, steps_per_beat=4), replace(CONFIG, pitch_range=(48, 72)), ModelConfig(dt=0.3)]
    for config in (CONFIG, *others):
        assert count(store, corpus, config) == 2
        assert corpus_rolls(store, corpus, config).n_visible == config.n_visible
    assert store.file(CORPUS, corpus["id"], "rolls-dt0.3-21-109.npz")
    assert count(store, corpus, replace(CONFIG, n_hidden=7)) == 0


def test_kept_rolls_that_are_damaged_are_made_again(store: ArtefactStore) -> None:
    corpus = stored(store)
    first = corpus_rolls(store, corpus, CONFIG)
    kept = store.file(CORPUS, corpus["id"], FILE)
    for damaged in (b"", b"hello", kept[:-9], kept[:300] + bytes([kept[300] ^ 1]) + kept[301:]):
        store.write_file(CORPUS, corpus["id"], FILE, damaged)
        assert same(corpus_rolls(store, corpus, CONFIG), first)
        assert count(store, corpus) == 0


def test_kept_rolls_of_another_corpus_are_made_again(store: ArtefactStore) -> None:
    corpus, other = stored(store), stored(store, midi_file(5))
    corpus_rolls(store, other, CONFIG)
    store.write_file(CORPUS, corpus["id"], FILE, store.file(CORPUS, other["id"], FILE))
    assert len(corpus_rolls(store, corpus, CONFIG)) == 2


def test_kept_rolls_of_another_version_are_made_again(store: ArtefactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = stored(store)
    assert count(store, corpus) == 2
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert count(store, corpus) == 2
    assert count(store, corpus) == 0


def test_a_corpus_keeps_few_files_of_rolls_and_loses_them_when_it_is_deleted(tmp_path: Path) -> None:
    store = ArtefactStore(str(tmp_path))
    corpus = stored(store)
    folder = tmp_path / "corpora" / corpus["id"]
    for age in range(10, 0, -1):
        corpus_rolls(store, corpus, replace(CONFIG, steps_per_beat=age))
        os.utime(folder / f"rolls-beat{age}-21-109.npz", (-age, -age))
    kept = {f"rolls-beat{steps}-21-109.npz" for steps in range(1, 9)}
    assert {path.name for path in folder.iterdir() if path.name.startswith("rolls-")} == kept
    store.delete(CORPUS, corpus["id"])
    assert not folder.exists()


def test_a_corpus_deleted_meanwhile_stays_deleted(store: ArtefactStore) -> None:
    corpus = stored(store, midi_file())
    corpus_rolls(store, corpus, CONFIG, on_piece=lambda: store.delete(CORPUS, corpus["id"]))
    assert store.keys(CORPUS) == []
    with pytest.raises(NotFoundError):
        corpus_rolls(store, corpus, CONFIG)


def test_reading_can_be_ended_and_begun_again(store: ArtefactStore) -> None:
    corpus = stored(store)

    def stop() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        corpus_rolls(store, corpus, CONFIG, on_piece=stop)
    assert count(store, corpus) == 2


def test_a_piece_too_long_at_the_time_step_is_named_each_time(store: ArtefactStore) -> None:
    corpus = stored(store, midi(note(60, 48_000), division=48), midi(note(60)))
    for _ in range(2):
        rolls = corpus_rolls(store, corpus, replace(CONFIG, steps_per_beat=1001))
        assert len(rolls) == 1
        [(name, reason)] = rolls.refused
        assert name == "0.mid"
        assert "choose a longer time step" in reason


def test_a_store_that_is_full_does_not_stop_a_training(store: ArtefactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = stored(store)

    def full(*_: str) -> None:
        raise StoreError("no space")

    monkeypatch.setattr(store, "new_file", full)
    assert len(corpus_rolls(store, corpus, CONFIG)) == 2
