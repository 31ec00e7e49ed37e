"""What users upload: MIDI files and zips of them, read in memory, within limits. Free of torch.

Nothing here is ever written under a name a user chose: members of a zip are read, not extracted.
"""

import hashlib
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import IO, BinaryIO

from pydantic import BaseModel

from model.errors import MidiError
from model.midi import Bounds, PieceInfo, describe
from worker.errors import StoreError, UploadError
from worker.settings import MEBIBYTE, Settings

MIDI_SUFFIXES = (".mid", ".midi")
LONGEST_NAME = 200
MOST_REFUSED = 1_000
ENTRIES_PER_FILE = 4
"""Entries a zip may hold for each MIDI file allowed: folders, notes and macOS's twin of every file."""
UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError)
READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Piece:
    """A usable MIDI file; `name` is safe to show, not to open."""

    name: str
    data: bytes
    info: PieceInfo


class Refusal(BaseModel):
    """A file that cannot be used, and why."""

    file: str
    reason: str


@dataclass
class Upload:
    """What an upload came to. A piece that comes twice counts twice, as it did in the folder that it came from."""

    pieces: list[Piece] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class _FullError(Exception):
    """The upload has reached a limit: nothing more is read."""


def read_upload(files: Iterable[tuple[str, BinaryIO]], limits: Settings) -> Upload:
    """Pieces of the files, given as name and seekable stream, in the order they came.

    A file that cannot be used is named in `refused` and the rest is used. Raises UploadError, with what
    was refused, where nothing can be used.
    """
    reader = _Reader(limits)
    for name, stream in files:
        try:
            reader.read(name, stream)
        except _FullError as limit:
            reader.upload.refused.append(Refusal(file=_safe(name), reason=f"{limit}; what follows is not read"))
            break
    upload = reader.upload
    if not upload.pieces:
        detail = "none of the files can be used" if upload.refused else "there are no files in the upload"
        raise UploadError(detail, [refusal.model_dump() for refusal in upload.refused])
    return upload


def digest(pieces: Iterable[Piece]) -> str:
    """SHA-256 (hex) of the pieces: the same whatever their order, names and packing."""
    return hashlib.sha256(b"".join(sorted(_content(piece.data) for piece in pieces))).hexdigest()


def pack(pieces: Iterable[Piece]) -> bytes:
    """Zip of the pieces for the artefact store, ordered by content, so that a training does not depend on upload order.

    The same pieces under the same names give the same bytes.
    """
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index, piece in enumerate(sorted(pieces, key=lambda piece: (_content(piece.data), piece.name))):
            # The number keeps apart pieces of one name, from two zips; a date is always 1980-01-01.
            member = zipfile.ZipInfo(f"{index:06d}/{piece.name}")
            member.create_system = 3
            archive.writestr(member, piece.data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def unpack(data: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of what `pack` made. Raises StoreError."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return [(member.filename.partition("/")[2], archive.read(member)) for member in archive.infolist()]
    except UNREADABLE_ZIP as error:
        raise StoreError(f"a stored corpus is damaged: {error}") from error


class _Reader:
    """Reads files into an `Upload` and keeps account of what may still be read."""

    def __init__(self, limits: Settings) -> None:
        self.upload = Upload()
        self._limits = limits
        self._bounds = Bounds()
        self._bytes_left = limits.max_unpacked_bytes
        self._files_left = limits.max_files

    def refuse(self, name: str, reason: str) -> None:
        if len(self.upload.refused) == MOST_REFUSED:
            raise _FullError(f"{MOST_REFUSED:,} files were refused")
        self.upload.refused.append(Refusal(file=_safe(name), reason=reason))

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
            self.upload.pieces.append(Piece(_safe(name), data, describe(data, self._bounds)))
        except MidiError as error:
            self.refuse(name, str(error))

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


def _content(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _safe(name: str) -> str:
    """`name` without control and formatting characters, 200 characters at most, the end kept."""
    shown = "".join(char for char in name if not unicodedata.category(char).startswith("C")).strip() or "unnamed"
    return shown if len(shown) <= LONGEST_NAME else "…" + shown[-LONGEST_NAME + 1 :]
