"""The artefact store: the truth about corpora, models and generations, in a directory or any fsspec URL.

    corpora/ID/corpus.json  pieces.zip  rolls-STEP-LOW-HIGH.npz (made from the pieces, at most 8)
    digests/DIGEST  (the id of the corpus with that content)
    models/ID/model.json  model.safetensors  curve.png
    generations/ID/generation.json  piece.mid  piece.roll (bits)  kept.roll (bits)  and other forms, once asked for
    checkpoints/JOB/state.safetensors

A file is written under a temporary name and then renamed, and an artefact's JSON is written last: what can be
found is complete. Models that come with the program are read from the package as if they lay in the store.

Pieces are not synced to the disk: a power failure may take those of its last half minute. What it leaves of them is
empty files, and an empty file counts as none.
"""

import json
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Any

from worker.errors import BundledError, NotFoundError, StoreError
from worker.files import MISSING, LocalFiles, files_at

LONGEST_KEY = 200
BUNDLED = Path(__file__).parent / "bundled"
CORPUS, MODEL, GENERATION = "corpus", "model", "generation"
FOLDERS = {CORPUS: "corpora", MODEL: "models", GENERATION: "generations"}
RECORDS_KEPT = 64
RECORDS_READ = 1000  # a filter that hardly anything passes must not read the whole store in one request


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
        self._model_names: dict[str, str] = {}
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
        if (BUNDLED / FOLDERS[kind] / key).exists():
            raise BundledError(f"{kind} {key!r} comes with the program and cannot be deleted")
        if kind == CORPUS:
            self._remove(f"digests/{self.record(kind, key)['digest']}")
        self._remove(f"{FOLDERS[kind]}/{key}/{kind}.json")
        self._remove(f"{FOLDERS[kind]}/{key}")

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
        """The record of the model with that id, or else of the newest with that name; it is not to be changed.

        Raises:
            NotFoundError: neither.
        """
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
        path = f"{FOLDERS[MODEL]}/{key}/{MODEL}.json"
        stamp = (self._files.stamp(path) or self._bundled.stamp(path)) if _is_key(key) else None
        return self._known_model(key, stamp) if stamp else self.record(MODEL, key)

    def _read_model(self, key: str, stamp: Hashable) -> dict[str, Any]:  # noqa: ARG002 (to know an old one by)
        return self.record(MODEL, key)

    def _model_name(self, key: str) -> str | None:
        """A model's name, remembered: a name is never changed."""
        if key not in self._model_names:
            try:
                self._model_names[key] = self.record(MODEL, key)["name"]
            except NotFoundError:
                return None
        return self._model_names[key]

    # --- checkpoints of running trainings ---------------------------------------------------------------------------

    def checkpoint(self, job_id: str) -> bytes | None:
        """What the training of that job last saved."""
        return self._read(f"checkpoints/{job_id}/state.safetensors")

    def write_checkpoint(self, job_id: str, data: bytes) -> None:
        """Replace the training's checkpoint."""
        self._write(f"checkpoints/{job_id}/state.safetensors", data)

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


def _is_key(key: str) -> bool:
    """Whether `key` can be an id at all: what comes from a URL must not wander through the file system."""
    return 0 < len(key) <= LONGEST_KEY and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)


def _check_key(key: str) -> None:
    if not _is_key(key):
        raise StoreError(f"{key!r} is no id: letters, digits, _ and - are")
