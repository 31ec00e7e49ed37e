"""Where the store's files lie: in a local directory, or wherever fsspec reaches.

Paths are relative to the store's root, their parts separated by "/". Reading what is not there gives None, or a
FileNotFoundError where a file is opened; anything else that goes wrong is an OSError.
"""

import os
import shutil
from collections.abc import Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from worker.protocol import new_id

LOCAL = ("file://", "local://")
MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Files(Protocol):
    """What the store needs of the place where its files lie."""

    def read(self, path: str) -> bytes | None:
        """A file's content."""

    def stamp(self, path: str) -> Hashable | None:
        """What is another one once the file was replaced; None without such a file, or where it cannot be told."""

    def open(self, path: str) -> IO[bytes]:
        """A file to read, seekable."""

    def new(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """A file to write, which is there once the context ends without an error, and whole."""

    def publish(self, folder: str, files: dict[str, bytes], *, durable: bool) -> None:
        """Put files into a folder in their order, each whole; into a new folder all at once, where that is possible.

        Files that are not `durable` may be empty, or missing, after a power failure.
        """

    def remove(self, path: str) -> None:
        """Remove a file, or a folder and all in it; where there is none, do nothing."""

    def names(self, folder: str) -> list[str]:
        """Names in a folder, in any order."""

    def newest(self, folder: str) -> list[str]:
        """Names in a folder, those that were written last first."""


def files_at(url: str) -> Files:
    """The files under a path or an fsspec URL."""
    for scheme in LOCAL:
        url = url.removeprefix(scheme)
    if "://" not in url:
        return LocalFiles(Path(url))
    from worker.object_files import ObjectFiles  # noqa: PLC0415 (fsspec takes its time to load)

    return ObjectFiles(url)


class LocalFiles:
    """Files in a directory; written under a temporary name, which begins with a dot, and then renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()

    def read(self, path: str) -> bytes | None:
        """See `Files`."""
        try:
            return (self._root / path).read_bytes()
        except MISSING:
            return None

    def stamp(self, path: str) -> Hashable | None:
        """See `Files`."""
        try:
            status = (self._root / path).stat()
        except MISSING:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def open(self, path: str) -> IO[bytes]:
        """See `Files`."""
        return (self._root / path).open("rb")

    @contextmanager
    def new(self, path: str) -> Iterator[IO[bytes]]:
        """See `Files`."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target)
        try:
            with temporary.open("xb") as file:
                yield file
                _sync(file)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def publish(self, folder: str, files: dict[str, bytes], *, durable: bool) -> None:
        """See `Files`."""
        target = self._root / folder
        temporary = _temporary(target)
        try:
            _fill(temporary, files, durable)
            _move(temporary, target, files)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def remove(self, path: str) -> None:
        """See `Files`."""
        target = self._root / path
        try:
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()
        except MISSING:
            pass

    def names(self, folder: str) -> list[str]:
        """See `Files`."""
        try:
            return [name for name in os.listdir(self._root / folder) if not name.startswith(".")]  # noqa: PTH208 (fast)
        except MISSING:
            return []

    def newest(self, folder: str) -> list[str]:
        """See `Files`."""
        times = {name: (self._root / folder / name).stat().st_mtime_ns for name in self.names(folder)}
        return sorted(times, key=times.__getitem__, reverse=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{new_id()}")


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _fill(folder: Path, files: dict[str, bytes], durable: bool) -> None:
    """Make a folder with those files."""
    try:
        folder.mkdir()
    except FileNotFoundError:
        folder.mkdir(parents=True)
    for name, data in files.items():
        with (folder / name).open("xb") as file:
            file.write(data)
            if durable:
                _sync(file)


def _move(folder: Path, target: Path, names: Iterable[str]) -> None:
    """Make `folder` the folder `target`, or put its files into that, in their order, if it is there already."""
    try:
        folder.rename(target)
    except OSError:
        for name in names:
            (folder / name).replace(target / name)
        folder.rmdir()
