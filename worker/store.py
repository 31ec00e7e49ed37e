"""The artefact store: the truth about corpora, models and generations, in a directory or any fsspec URL.

    corpora/ID/corpus.json  pieces.zip  files.jsonl (the report on each)  statistics.json  statistics.png
               rolls-STEP-LOW-HIGH.npz (made from the pieces, at most 8)
    digests/DIGEST  (the id of the corpus with that content)
    models/ID/model.json  model.safetensors  curve.png
    default-model  (id or name of the default model, once one was chosen)
    generations/ID/generation.json  piece.mid  piece.roll (bits)  kept.roll (bits)  and other forms, once asked for
    checkpoints/JOB/state.safetensors  model.safetensors  model.json (the model as it is so far)

A file is written under a temporary name and then renamed, and an artefact's JSON is written last: what can be
found is complete. Models that come with the program are read from the package as if they lay in the store.

Pieces are not synced to the disk: a power failure may take those of its last half minute. What it leaves of them is
empty files, and an empty file counts as none.
"""

import json
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import IO, Any

from worker.errors import BundledError, NotFoundError, StoreError
from worker.files import MISSING, LocalFiles, files_at
from worker.protocol import DEFAULT_MODEL

LONGEST_KEY = 200
BUNDLED_MODEL, DEFAULT_FILE = "nottingham", "default-model"
BUNDLED = Path(__file__).parent / "bundled"
CORPUS, MODEL, GENERATION = "corpus", "model", "generation"
FOLDERS = {CORPUS: "corpora", MODEL: "models", GENERATION: "generations"}
CONTENTS = {CORPUS: "pieces.zip", MODEL: "model.safetensors"}
"""The file without which an artefact's record is of no use."""
RECORDS_KEPT = 64
RECORDS_READ = 1000  # a filter that hardly anything passes must not read the whole store in one request
NAME_SECONDS = 5
"""How long the name of a model is remembered where files cannot tell whether they were replaced."""


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the store cannot be read: {error}") from error


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the store cannot be written: {error}") from error


class ArtefactStore:
    """Reads and writes artefacts by kind and id; nothing else knows a path."""

    def __init__(self, url: str) -> None:
        self._files = files_at(url)
        self._bundled = LocalFiles(BUNDLED)
        self._model_names: dict[str, tuple[Hashable, str]] = {}
        self._changing = Lock()
        self._known_model = lru_cache(RECORDS_KEPT)(self._read_model)

    @property
    def is_local(self) -> bool:
        """Whether the files lie on this machine, or in what is mounted as if they did."""
        return isinstance(self._files, LocalFiles)

    # --- artefacts --------------------------------------------------------------------------------------------

    def publish(self, kind: str, key: str, record: dict[str, Any], files: dict[str, bytes]) -> None:
        """Write an artefact's files and then its record; doing it twice is harmless."""
        _check_key(key)
        everything = {**files, f"{kind}.json": json.dumps(record).encode()}
        with _writable():
            self._files.publish(f"{FOLDERS[kind]}/{key}", everything, durable=kind != GENERATION)

    def record(self, kind: str, key: str) -> dict[str, Any]:
        """The artefact's JSON.

        Raises:
            NotFoundError: there is none.
        """
        found: dict[str, Any] = json.loads(self.file(kind, key, f"{kind}.json"))
        return found

    def page(
        self, kind: str, after: str | None, limit: int, where: Callable[[dict[str, Any]], bool] = lambda _record: True
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Records newest first, at most `limit` after the id `after`, and the cursor of what follows.

        Only those for which `where` holds; a page may be short, with a cursor, where few pass.
        """
        keys = [key for key in self.keys(kind) if after is None or key < after]
        records: list[dict[str, Any]] = []
        for read, key in enumerate(keys, 1):
            with suppress(NotFoundError):  # half written, or deleted just now
                record = self.record(kind, key)
                records += [record] if where(record) else []
            if len(records) == limit or read == RECORDS_READ:
                return records, key if read < len(keys) else None
        return records, None

    def keys(self, kind: str) -> list[str]:
        """Ids newest first."""
        folder = FOLDERS[kind]
        with _readable():
            return sorted({*self._files.names(folder), *self._bundled.names(folder)}, reverse=True)

    def delete(self, kind: str, key: str) -> None:
        """Remove an artefact, its record first.

        Raises:
            NotFoundError: there is none.
            BundledError: it comes with the program.
        """
        self.record(kind, key)
        self._refuse_bundled(kind, key)
        if kind == CORPUS:
            self._remove(f"digests/{self.record(kind, key)['digest']}")
        self._remove(f"{FOLDERS[kind]}/{key}/{kind}.json")
        self._remove(f"{FOLDERS[kind]}/{key}")

    def update(self, kind: str, key: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change members of a model's or a corpus's record; the record as it is then.

        Raises:
            NotFoundError: there is none.
            BundledError: it comes with the program.
        """
        with self._changing:
            record = {**self.record(kind, key), **changes}
            self._refuse_bundled(kind, key)
            self.write_file(kind, key, f"{kind}.json", json.dumps(record).encode())
            self._model_names.pop(key, None)
        try:
            self.open_file(kind, key, CONTENTS[kind]).close()
        except NotFoundError:  # deleted meanwhile, and its record must not come back
            self._remove(f"{FOLDERS[kind]}/{key}")
            raise
        return record

    def _refuse_bundled(self, kind: str, key: str) -> None:
        if (BUNDLED / FOLDERS[kind] / key).exists():
            raise BundledError(f"{kind} {key!r} comes with the program and stays as it is")

    def remove_file(self, kind: str, key: str, name: str) -> None:
        """Remove one file of an artefact, if it is there.

        Raises:
            StoreError: `key` is no id, or the store cannot be written.
        """
        _check_key(key)
        self._remove(f"{FOLDERS[kind]}/{key}/{name}")

    def file(self, kind: str, key: str, name: str) -> bytes:
        """One file of an artefact.

        Raises:
            NotFoundError: there is none.
        """
        relative = f"{FOLDERS[kind]}/{key}/{name}"
        data = self._read(relative) if _is_key(key) else None
        if not data:
            raise NotFoundError(kind, key)
        return data

    def write_file(self, kind: str, key: str, name: str, data: bytes) -> None:
        """Add one file to an artefact, or replace it.

        Raises:
            StoreError: `key` is no id, or the store cannot be written.
        """
        _check_key(key)
        self._write(f"{FOLDERS[kind]}/{key}/{name}", data)

    # --- files too large to hold ------------------------------------------------------------------------------------

    def open_file(self, kind: str, key: str, name: str) -> IO[bytes]:
        """One file of an artefact, seekable; the caller closes it.

        Raises:
            NotFoundError: there is none.
            StoreError: the store cannot be read.
        """
        if not _is_key(key):
            raise NotFoundError(kind, key)
        with _readable():
            try:
                return self._files.open(f"{FOLDERS[kind]}/{key}/{name}")
            except MISSING as error:
                raise NotFoundError(kind, key) from error

    @contextmanager
    def new_file(self, kind: str, key: str, name: str) -> Iterator[IO[bytes]]:
        """A file to write that is added to an artefact once the context ends without an error.

        Raises:
            StoreError: `key` is no id, or the store cannot be written.
        """
        _check_key(key)
        with _writable(), self._files.new(f"{FOLDERS[kind]}/{key}/{name}") as file:
            yield file

    def keep_newest(self, kind: str, key: str, prefix: str, most: int) -> None:
        """Remove the oldest of an artefact's files whose names begin with `prefix`, so that `most` are left.

        Raises:
            StoreError: the store cannot be written.
        """
        folder = f"{FOLDERS[kind]}/{key}"
        with _writable(), suppress(FileNotFoundError):  # another process removes them too
            found = [name for name in self._files.newest(folder) if name.startswith(prefix)]
            for name in found[most:]:
                self._files.remove(f"{folder}/{name}")

    def sweep(self, kind: str, key: str) -> None:
        """Remove what was added to an artefact while another process deleted it.

        Raises:
            StoreError: the store cannot be written.
        """
        try:
            self.record(kind, key)
        except NotFoundError:
            self._remove(f"{FOLDERS[kind]}/{key}")

    # --- corpora by content, models by name -----------------------------------------------------------------------

    def corpus_with(self, digest: str) -> dict[str, Any] | None:
        """The record of the corpus with that content, if there is one."""
        key = self._read(f"digests/{digest}")
        try:
            return self.record(CORPUS, key.decode()) if key else None
        except NotFoundError:
            return None

    def publish_corpus(self, record: dict[str, Any]) -> None:
        """Write the record of a corpus, whose pieces are there, and make it findable by its digest."""
        self.publish(CORPUS, record["id"], record, {})
        self._write(f"digests/{record['digest']}", record["id"].encode())

    def find_model(self, reference: str) -> dict[str, Any]:
        """The record of the model with that id, or else of the newest with that name; the caller leaves it as it is.

        `default` is the default model: the one that was chosen, while it is there, or the bundled one.

        Raises:
            NotFoundError: neither.
        """
        if reference != DEFAULT_MODEL:
            return self._find_model(reference)
        if chosen := self._read(DEFAULT_FILE):
            with suppress(NotFoundError):
                return self._find_model(chosen.decode())
        return self._find_model(BUNDLED_MODEL)

    def choose_default(self, reference: str) -> dict[str, Any]:
        """Make a model the default one, by id or by name: the newest of that name then; its record.

        Raises:
            NotFoundError: there is no such model.
        """
        record = self._find_model(reference)
        self._write(DEFAULT_FILE, reference.encode())
        return record

    def forget_default(self) -> None:
        """Make the bundled model the default one again."""
        self._remove(DEFAULT_FILE)

    def _find_model(self, reference: str) -> dict[str, Any]:
        for key in (reference, self._bundled_models.get(reference, "")):
            with suppress(NotFoundError):
                return self._model(key)
        for key in self.keys(MODEL):
            if reference == self._model_name(key):
                return self._model(key)
        raise NotFoundError(MODEL, reference)

    def bundled_names(self) -> set[str]:
        """Names of the models that come with the program; no other model can take them."""
        return set(self._bundled_models)

    @cached_property
    def _bundled_models(self) -> dict[str, str]:
        """Ids by name."""
        return {self.record(MODEL, key)["name"]: key for key in self._bundled.names(FOLDERS[MODEL])}

    def _model(self, key: str) -> dict[str, Any]:
        """The model's record; parsed once, as the metrics of all epochs are in it, for as long as its file is the same.

        Raises:
            NotFoundError: there is none.
        """
        stamp = self._model_stamp(key)
        return self._known_model(key, stamp) if stamp else self.record(MODEL, key)

    def _model_stamp(self, key: str) -> Hashable | None:
        """What is another one once the model's record was changed, by whatever process."""
        path = f"{FOLDERS[MODEL]}/{key}/{MODEL}.json"
        return (self._files.stamp(path) or self._bundled.stamp(path)) if _is_key(key) else None

    def _read_model(self, key: str, stamp: Hashable) -> dict[str, Any]:  # noqa: ARG002 (to know an old one by)
        return self.record(MODEL, key)

    def _model_name(self, key: str) -> str | None:
        """A model's name, remembered until its record changes or, where that cannot be told, for some seconds."""
        stamp = self._model_stamp(key) or time.monotonic() // NAME_SECONDS
        seen, name = self._model_names.get(key, (None, ""))
        if seen != stamp:
            try:
                name = self.record(MODEL, key)["name"]
            except NotFoundError:
                return None
            self._model_names[key] = stamp, name
        return name

    # --- checkpoints of running trainings ---------------------------------------------------------------------------

    def checkpoint(self, job_id: str) -> bytes | None:
        """What the training of that job last saved."""
        return self._read(f"checkpoints/{job_id}/state.safetensors")

    def write_checkpoint(self, job_id: str, data: bytes) -> None:
        """Replace the training's checkpoint."""
        self._write(f"checkpoints/{job_id}/state.safetensors", data)

    def write_snapshot(self, job_id: str, record: dict[str, Any], weights: bytes) -> None:
        """Put the training's model, as it is so far, beside its checkpoint."""
        _check_key(job_id)
        files = {CONTENTS[MODEL]: weights, f"{MODEL}.json": json.dumps(record).encode()}
        with _writable():
            self._files.publish(f"checkpoints/{job_id}", files, durable=False)

    def snapshot(self, job_id: str) -> tuple[dict[str, Any], bytes]:
        """Record and weights of a running training's model; the weights may be a little newer.

        Raises:
            NotFoundError: there are none: it has just begun, or has ended, or is none.
        """
        files = (f"{MODEL}.json", CONTENTS[MODEL])
        record, weights = (self._read(f"checkpoints/{job_id}/{name}") if _is_key(job_id) else None for name in files)
        if not (record and weights):
            raise NotFoundError("running training with a checkpoint:", job_id)
        return json.loads(record), weights

    def drop_checkpoint(self, job_id: str) -> None:
        """Forget the training's checkpoint."""
        self._remove(f"checkpoints/{job_id}")

    # --- files --------------------------------------------------------------------------------------------------------

    def _read(self, relative: str) -> bytes | None:
        with _readable():
            data = self._files.read(relative)
            return self._bundled.read(relative) if data is None else data

    def _write(self, relative: str, data: bytes) -> None:
        with _writable(), self._files.new(relative) as file:
            file.write(data)

    def _remove(self, relative: str) -> None:
        with _writable():
            self._files.remove(relative)


def now() -> str:
    """The time for a record."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _is_key(key: str) -> bool:
    """Whether `key` can be an id at all: what comes from a URL must not wander through the file system."""
    return 0 < len(key) <= LONGEST_KEY and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)


def _check_key(key: str) -> None:
    if not _is_key(key):
        raise StoreError(f"{key!r} is no id: letters, digits, _ and - are")
