"""What users upload: MIDI files and zips of them, read one by one, within limits. Free of torch.

What can be used is kept in a temporary file, and so is the report on each file, so that memory grows with the number of
files, by about a kilobyte each, and not with their sizes. Nothing here is ever written under a name a user chose:
members of a zip are read, not extracted.
"""

import hashlib
import json
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO

from pydantic import BaseModel

from model.errors import MidiError
from model.midi import Bounds, Notes, PieceInfo, key_of, parse
from model.overview import Overview
from worker.errors import StoreError, UploadError
from worker.settings import MEBIBYTE, Settings

MIDI_SUFFIXES = (".mid", ".midi")
LONGEST_NAME = 200
MOST_REFUSED = 1_000
ENTRIES_PER_FILE = 4
"""Entries a zip may hold for each MIDI file allowed: folders, notes and macOS's twin of every file."""
UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, ValueError)
READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
NO_PLACE = "the upload cannot be kept: {}"
SPOOLED_BYTES = 8 * MEBIBYTE
"""An upload whose pieces are smaller together never touches the disk."""


@dataclass(frozen=True, order=True, slots=True)
class Piece:
    """A usable MIDI file. Pieces are ordered by content, so that a training does not depend on upload order."""

    content: bytes
    """SHA-256."""
    name: str
    """Safe to show, not to open."""
    start: int
    """Where its bytes begin in the upload's temporary file."""
    size: int


class Refusal(BaseModel):
    """A file that cannot be used, and why."""

    file: str
    reason: str


@dataclass
class Upload:
    """What an upload came to. A piece that comes twice counts twice, as it did in the folder that it came from."""

    spool: IO[bytes]
    """The pieces' bytes, one after another."""
    report: IO[bytes]
    """A line of JSON for each file, in the order they came: what it is like, or why it was refused."""
    pieces: list[Piece] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    overview: Overview = field(default_factory=Overview)

    def add(self, name: str, data: bytes, notes: Notes, info: PieceInfo) -> None:
        """Keep a usable MIDI file. Raises StoreError."""
        try:
            start = self.spool.seek(0, SEEK_END)
            self.spool.write(data)
        except OSError as error:  # a full disk is not the file's fault
            raise StoreError(NO_PLACE.format(error)) from error
        shown, key = safe_name(name), key_of(notes)
        self.pieces.append(Piece(hashlib.sha256(data).digest(), shown, start, len(data)))
        self.overview.add(notes, info, key)
        facts = {"key": key, "tempo": round(info.tempo, 2), "seconds": round(info.seconds, 2)}
        self._tell(shown, **facts, beats=round(info.beats, 2), notes=info.notes)

    def refuse(self, name: str, reason: str) -> None:
        """Leave a file out. Raises StoreError."""
        refusal = Refusal(file=safe_name(name), reason=reason)
        self.refused.append(refusal)
        self._tell(refusal.file, reason=reason)

    def _tell(self, name: str, **facts: object) -> None:
        try:
            self.report.write(json.dumps({"file": name, **facts}).encode() + b"\n")
        except OSError as error:
            raise StoreError(NO_PLACE.format(error)) from error

    def data(self, piece: Piece) -> bytes:
        """The bytes of a piece."""
        self.spool.seek(piece.start)
        return self.spool.read(piece.size)

    def digest(self) -> str:
        """SHA-256 (hex) of the pieces: the same whatever their order, names and packing."""
        return hashlib.sha256(b"".join(sorted(piece.content for piece in self.pieces))).hexdigest()

    def pack(self, file: IO[bytes]) -> None:
        """Write a zip of the pieces, in their order, for the artefact store.

        The same pieces under the same names give the same bytes.
        """
        with zipfile.ZipFile(file, "w") as archive:
            for index, piece in enumerate(sorted(self.pieces)):
                # The number keeps apart pieces of one name, from two zips; a date is always 1980-01-01.
                member = zipfile.ZipInfo(f"{index:06d}/{piece.name}")
                member.create_system = 3
                archive.writestr(member, self.data(piece), zipfile.ZIP_DEFLATED)


class _FullError(Exception):
    """The upload has reached a limit: nothing more is read."""


@contextmanager
def read_upload(files: Iterable[tuple[str, BinaryIO]], limits: Settings) -> Iterator[Upload]:
    """Pieces of the files, given as name and seekable stream, in the order they came; kept as long as the context.

    A file that cannot be used is named in `refused` and the rest is used.

    Raises:
        UploadError: nothing can be used; it says what was refused.
        StoreError: there is no place for the pieces.
    """
    with _spool() as spool, _spool() as report:
        upload = Upload(spool, report)
        reader = _Reader(upload, limits)
        for name, stream in files:
            try:
                reader.read(name, stream)
            except _FullError as limit:
                upload.refuse(name, f"{limit}; what follows is not read")
                break
        if not upload.pieces:
            detail = "none of the files can be used" if upload.refused else "there are no files in the upload"
            raise UploadError(detail, [refusal.model_dump() for refusal in upload.refused])
        yield upload


@contextmanager
def _spool() -> Iterator[IO[bytes]]:
    try:
        with SpooledTemporaryFile(SPOOLED_BYTES) as spool:
            yield spool
    except OSError as error:  # closing tries once more to write what did not fit
        raise StoreError(NO_PLACE.format(error)) from error


def read_pack(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of what `Upload.pack` wrote, one at a time. Raises StoreError."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                yield member.filename.partition("/")[2], archive.read(member)
    except UNREADABLE_ZIP as error:
        raise StoreError(f"a stored corpus is damaged: {error}") from error


class _Reader:
    """Reads files into an `Upload` and keeps account of what may still be read."""

    def __init__(self, upload: Upload, limits: Settings) -> None:
        self.upload = upload
        self._limits = limits
        self._bounds = Bounds()
        self._bytes_left = limits.max_unpacked_bytes
        self._files_left = limits.max_files

    def refuse(self, name: str, reason: str) -> None:
        if len(self.upload.refused) == MOST_REFUSED:
            raise _FullError(f"{MOST_REFUSED:,} files were refused")
        self.upload.refuse(name, reason)

    def read(self, name: str, stream: BinaryIO) -> None:
        if name.lower().endswith(".zip"):
            self._read_zip(name, stream)
        elif name.lower().endswith(MIDI_SUFFIXES):
            self._read_midi(name, stream)
        else:
            self.refuse(name, "its name does not end in .mid, .midi or .zip")

    def _read_midi(self, name: str, stream: IO[bytes]) -> None:
        if self._files_left == 0:
            raise _FullError(f"the upload holds more than {self._limits.max_files:,} MIDI files")
        # One byte more than allowed is enough to see that a file is too large, whatever its header says.
        data = stream.read(min(self._bounds.max_bytes, self._bytes_left) + 1)
        if len(data) > self._bytes_left:
            raise _FullError(f"the upload unpacks to more than {self._limits.max_unpacked_bytes / MEBIBYTE:g} MiB")
        self._bytes_left -= len(data)
        self._files_left -= 1
        try:
            notes, info = parse(data, self._bounds)
        except MidiError as error:
            self.refuse(name, str(error))
        else:
            self.upload.add(name, data, notes, info)

    def _read_zip(self, name: str, stream: BinaryIO) -> None:
        most = ENTRIES_PER_FILE * self._limits.max_files
        try:
            if _count_entries(stream) > most:
                self.refuse(name, f"the zip holds more than {most:,} entries")
                return
            with zipfile.ZipFile(stream) as archive:
                members = [member for member in archive.infolist() if not _is_clutter(member)]
                if not any(member.filename.lower().endswith(MIDI_SUFFIXES) for member in members):
                    self.refuse(name, "the zip holds no .mid files")
                    return
                for member in members:
                    self._read_member(archive, member)
        except UNREADABLE_ZIP:
            self.refuse(name, "the zip cannot be read: it is damaged or is no zip file")

    def _read_member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        if reason := _objection(member):
            self.refuse(member.filename, reason)
            return
        try:
            with archive.open(member) as stream:
                self._read_midi(member.filename, stream)
        except UNREADABLE_ZIP:
            self.refuse(member.filename, "it is damaged inside the zip")


def _objection(member: zipfile.ZipInfo) -> str | None:
    """Why a member of a zip is not even opened."""
    path = member.filename.replace("\\", "/")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in path.split("/"):
        return "its path in the zip leads out of the zip"
    if path.lower().endswith(".zip"):
        return "it is a zip inside a zip; upload it by itself"
    if not path.lower().endswith(MIDI_SUFFIXES):
        return "its name does not end in .mid or .midi"
    if member.flag_bits & 1:
        return "it is encrypted; zip it without a password"
    if member.compress_type not in READ_METHODS:
        return "it is compressed in an uncommon way; zip it with the ordinary method (deflate)"
    return None


def _is_clutter(member: zipfile.ZipInfo) -> bool:
    """Whether an entry is a folder or what operating systems leave in zips."""
    parts = member.filename.replace("\\", "/").split("/")
    name = parts[-1]  # empty for a folder; `is_dir` would stumble over a damaged zip's empty path
    return not name or "__MACOSX" in parts or (name.startswith(".") and name != "..")


def _count_entries(stream: BinaryIO) -> int:
    """Upper bound of a zip's entries, by their signature.

    `ZipFile` builds an object for every entry, however many, before anyone can ask how many there are.
    """
    stream.seek(0)
    return sum(chunk.count(b"PK\x01\x02") for chunk in _overlapping_chunks(stream))


def _overlapping_chunks(stream: BinaryIO) -> Iterator[bytes]:
    tail = b""
    while chunk := stream.read(MEBIBYTE):
        yield tail + chunk
        tail = chunk[-3:]  # one byte short of a signature, so none is missed and none counted twice


def safe_name(name: str) -> str:
    """`name` without control and formatting characters, 200 characters at most, the end kept."""
    shown = "".join(char for char in name if not unicodedata.category(char).startswith("C")).strip() or "unnamed"
    return shown if len(shown) <= LONGEST_NAME else "…" + shown[-LONGEST_NAME + 1 :]
