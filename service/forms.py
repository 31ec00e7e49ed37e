"""Multipart uploads: files spooled to disk by the framework, a JSON field beside them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request
from starlette.datastructures import UploadFile

from service.problems import ProblemError
from worker.settings import Settings

CONFIG_BYTES = 64 * 1024
MULTIPART_FILES = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "contentMediaType": "application/octet-stream"},
    "description": ".mid, .midi, or .zip of them",
}


@dataclass(frozen=True)
class UploadForm:
    """What an upload holds: named files and the text of the field `config`."""

    files: list[tuple[str, BinaryIO]]
    config: str


@asynccontextmanager
async def read_form(request: Request, settings: Settings) -> AsyncIterator[UploadForm]:
    """The request's form; its files are open inside the context only.

    Raises:
        ProblemError: a field of another name, or a file where text belongs.
    """
    async with request.form(max_files=settings.max_files, max_fields=16, max_part_size=CONFIG_BYTES) as form:
        files: list[tuple[str, BinaryIO]] = []
        config = ""
        for name, value in form.multi_items():
            if name == "files" and isinstance(value, UploadFile):
                files.append((value.filename or "", value.file))
            elif name == "config":
                config = value if isinstance(value, str) else (await value.read(CONFIG_BYTES)).decode(errors="replace")
            else:
                raise ProblemError(
                    422, f"{name}: the form takes `files` (files, with curl -F files=@a.mid) and `config`"
                )
        yield UploadForm(files, config)
