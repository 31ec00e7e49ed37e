"""Files in whatever fsspec reaches: object stores above all, which publish an object whole or not at all."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from tempfile import NamedTemporaryFile
from typing import IO

from fsspec.core import url_to_fs

from worker.files import MISSING


class ObjectFiles:
    """Files under an fsspec URL; what the methods do is said in `worker.files.Files`."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = url_to_fs(url, use_listings_cache=False)

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"

    def read(self, path: str) -> bytes | None:
        """See `Files`."""
        try:
            data: bytes = self._fs.cat_file(self._path(path))
        except MISSING:
            return None
        return data

    def stamp(self, path: str) -> Hashable | None:  # noqa: ARG002 (see `Files`)
        """None: asking takes as long as reading."""
        return None

    def open(self, path: str) -> IO[bytes]:
        """See `Files`."""
        file: IO[bytes] = self._fs.open(self._path(path), "rb")
        return file

    @contextmanager
    def new(self, path: str) -> Iterator[IO[bytes]]:
        """See `Files`."""
        with NamedTemporaryFile() as file:
            yield file
            file.flush()
            self._fs.put_file(file.name, self._path(path))

    def publish(self, folder: str, files: dict[str, bytes], *, durable: bool) -> None:  # noqa: ARG002 (all are)
        """See `Files`."""
        for name, data in files.items():
            self._fs.pipe_file(self._path(f"{folder}/{name}"), data)

    def remove(self, path: str) -> None:
        """See `Files`."""
        with suppress(FileNotFoundError):
            self._fs.rm(self._path(path), recursive=True)

    def names(self, folder: str) -> list[str]:
        """See `Files`."""
        try:
            return [PurePosixPath(path).name for path in self._fs.ls(self._path(folder), detail=False)]
        except FileNotFoundError:
            return []

    def newest(self, folder: str) -> list[str]:
        """See `Files`."""
        return sorted(
            self.names(folder), key=lambda name: self._fs.modified(self._path(f"{folder}/{name}")), reverse=True
        )
