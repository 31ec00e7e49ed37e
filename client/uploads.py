"""Files on their way to the service: those named, and those below folders named."""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from client.errors import FileError

MIDI_SUFFIXES = (".mid", ".midi")
ZIP_SUFFIX = ".zip"
Upload = tuple[str, tuple[str, IO[bytes]]]


@contextmanager
def opened(paths: Iterable[Path | str], field: str = "files") -> Iterator[list[Upload]]:
    """Parts of a form, open inside the context; the MIDI files of a folder travel in one zip, as they may be many.

    Raises:
        FileError: one cannot be read.
    """
    with ExitStack() as stack:
        try:
            parts = [part for path in paths for part in _parts(Path(path), stack)]
        except OSError as error:
            raise FileError(error.filename, error.strerror) from error
        yield [(field, part) for part in parts]


def _parts(path: Path, stack: ExitStack) -> Iterator[tuple[str, IO[bytes]]]:
    if not path.is_dir():
        yield path.name, stack.enter_context(path.open("rb"))
        return
    below = sorted(path.rglob("*"))
    pieces = [file for file in below if file.suffix.lower() in MIDI_SUFFIXES]
    archives = [file for file in below if file.suffix.lower() == ZIP_SUFFIX]
    if not (pieces or archives):
        raise FileError(path, "there are no .mid, .midi or .zip files below it")
    if pieces:
        yield f"{path.resolve().name}{ZIP_SUFFIX}", stack.enter_context(_packed(path, pieces))
    for archive in archives:
        yield archive.relative_to(path).as_posix(), stack.enter_context(archive.open("rb"))


@contextmanager
def _packed(folder: Path, files: list[Path]) -> Iterator[IO[bytes]]:
    """A zip of files under their names within the folder."""
    with TemporaryFile() as spool:
        with zipfile.ZipFile(spool, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for file in files:
                archive.write(file, file.relative_to(folder))
        yield spool
