"""The artefact store: the truth about corpora, models and generations, in a directory or any fsspec URL.

    corpora/ID/corpus.json  pieces.zip  rolls-STEP-LOW-HIGH.npz (made from the pieces, at most 8)
    digests/DIGEST  (the id of the corpus with that content)
    models/ID/model.json  model.safetensors  curve.png
    generations/ID/generation.json  piece.mid  piece.roll (bits)  piece.png
    checkpoints/JOB/state.safetensors

A file is written under a temporary name and then renamed, and an artefact's JSON is written last: what can be
found is complete. Models that come with the program are read from the package as if they lay in the store.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from worker.errors import BundledError, NotFoundError, StoreError
from worker.protocol import new_id

LONGEST_KEY = 200
BUNDLED = Path(__file__).parent / "bundled"
CORPUS, MODEL, GENERATION = "corpus", "model", "generation"
FOLDERS = {CORPUS: "corpora", MODEL: "models", GENERATION: "generations"}


class ArtefactStore:
    """Reads and writes artefacts by kind and id; nothing else knows a path."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = url_to_fs(url, use_listings_cache=False)
        self._model_names: dict[str, str] = {}

    # --- artefacts --------------------------------------------------------------------------------------------

    def publish(self, kind: str, key: str, record: dict[str, Any], files: dict[str, bytes]) -> None:
        """Write an artefact's files and then its record; doing it twice is harmless."""
        for name, data in files.items():
            self.write_file(kind, key, name, data)
        self.write_file(kind, key, f"{kind}.json", json.dumps(record).encode())

    def record(self, kind: str, key: str) -> dict[str, Any]:
        """The artefact's JSON.

        Raises:
            NotFoundError: there is none.
        """
        found: dict[str, Any] = json.loads(self.file(kind, key, f"{kind}.json"))
        return found

    def page(self, kind: str, after: str | None, limit: int) -> tuple[list[dict[str, Any]], str | None]:
        """Records newest first, at most `limit` after the id `after`, and the cursor of what follows."""
        keys = [key for key in self.keys(kind) if after is None or key < after]
        records = []
        for key in keys[:limit]:
            try:
                records.append(self.record(kind, key))
            except NotFoundError:  # half written, or deleted just now
                continue
        return records, keys[limit - 1] if len(keys) > limit else None

    def keys(self, kind: str) -> list[str]:
        """Ids newest first."""
        folder = FOLDERS[kind]
        keys = {path.name for path in (BUNDLED / folder).glob("*") if path.is_dir()}
        with suppress(FileNotFoundError):
            keys |= {Path(name).name for name in self._fs.ls(f"{self._root}/{folder}", detail=False)}
        return sorted(keys, reverse=True)

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
        if data is None:
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
        try:
            file: IO[bytes] = self._fs.open(f"{self._root}/{FOLDERS[kind]}/{key}/{name}", "rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(kind, key) from error
        except OSError as error:
            raise StoreError(f"the store cannot be read: {error}") from error
        return file

    @contextmanager
    def new_file(self, kind: str, key: str, name: str) -> Iterator[IO[bytes]]:
        """A file to write that is added to an artefact once the context ends without an error.

        Raises:
            StoreError: `key` is no id, or the store cannot be written.
        """
        _check_key(key)
        path = f"{self._root}/{FOLDERS[kind]}/{key}/{name}"
        try:
            if isinstance(self._fs, LocalFileSystem):
                with _new_local(Path(path)) as file:
                    yield file
            else:
                with NamedTemporaryFile() as file:
                    yield file
                    file.flush()
                    self._fs.put_file(file.name, path)
        except OSError as error:
            raise StoreError(f"the store cannot be written: {error}") from error

    def keep_newest(self, kind: str, key: str, prefix: str, most: int) -> None:
        """Remove the oldest of an artefact's files whose names begin with `prefix`, so that `most` are left.

        Raises:
            StoreError: the store cannot be written.
        """
        try:
            paths = self._fs.ls(f"{self._root}/{FOLDERS[kind]}/{key}", detail=False)
            found = [path for path in paths if Path(path).name.startswith(prefix)]
            for path in sorted(found, key=self._fs.modified, reverse=True)[most:]:
                self._fs.rm_file(path)
        except FileNotFoundError:  # another process removes them too
            pass
        except OSError as error:
            raise StoreError(f"the store cannot be written: {error}") from error

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
        """The model with that id, or else the newest with that name.

        Raises:
            NotFoundError: neither.
        """
        keys = self.keys(MODEL)
        named = (key for key in keys if reference == self._model_name(key))
        key = reference if reference in keys else next(named, None)
        if key is None:
            raise NotFoundError(MODEL, reference)
        return self.record(MODEL, key)

    def bundled_names(self) -> set[str]:
        """Names of the models that come with the program; no other model can take them."""
        return {self.record(MODEL, path.name)["name"] for path in (BUNDLED / FOLDERS[MODEL]).glob("*") if path.is_dir()}

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
        try:
            data: bytes = self._fs.cat_file(f"{self._root}/{relative}")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            bundled = BUNDLED / relative
            return bundled.read_bytes() if bundled.is_file() else None
        except OSError as error:
            raise StoreError(f"the store cannot be read: {error}") from error
        return data

    def _write(self, relative: str, data: bytes) -> None:
        path = f"{self._root}/{relative}"
        try:
            if isinstance(self._fs, LocalFileSystem):
                _write_local(Path(path), data)
            else:  # object stores publish an object whole or not at all
                self._fs.pipe_file(path, data)
        except OSError as error:
            raise StoreError(f"the store cannot be written: {error}") from error

    def _remove(self, relative: str) -> None:
        try:
            self._fs.rm(f"{self._root}/{relative}", recursive=True)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(f"the store cannot be written: {error}") from error


def _write_local(path: Path, data: bytes) -> None:
    with _new_local(path) as file:
        file.write(data)


@contextmanager
def _new_local(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{new_id()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_key(key: str) -> bool:
    """Whether `key` can be an id at all: what comes from a URL must not wander through the file system."""
    return 0 < len(key) <= LONGEST_KEY and all(c.isascii() and (c.isalnum() or c in "_-") for c in key)


def _check_key(key: str) -> None:
    if not _is_key(key):
        raise StoreError(f"{key!r} is no id: letters, digits, _ and - are")
