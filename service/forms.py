"""Multipart uploads: files spooled to disk by the framework, a JSON field beside them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from service.problems import ProblemError, invalid_error
from worker.settings import Settings

CONFIG_BYTES = 64 * 1024
"""Most bytes of JSON in a request: far more than any of ours needs, and read at once."""
Params = TypeVar("Params", bound=BaseModel)


def media_type(request: Request) -> str:
    """The body's media type without its parameters; empty where the request does not say."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_json(kind: type[Params], text: bytes | str) -> Params:
    """The parameters that a JSON text holds; an empty text holds the defaults.

    Raises:
        ProblemError: 422, naming the fields at fault.
    """
    try:
        return kind.model_validate_json(_with_whole_numbers(text) if text.strip() else "{}", strict=True)
    except ValidationError as error:
        raise invalid_error(error.errors()) from error


def _with_whole_numbers(text: bytes | str) -> bytes | str:
    """The JSON with 2.0 as 2, which to JSON Schema is an integer and to a strict check is none."""
    try:
        return json.dumps(json.loads(text, parse_float=_whole_if_it_is))
    except (ValueError, RecursionError):  # who reads it next says what is wrong
        return text


def _whole_if_it_is(digits: str) -> float:
    number = float(digits)
    return int(number) if number.is_integer() else number


async def read_json(request: Request) -> bytes:
    """The request's body, which must be short.

    Raises:
        ProblemError: 413.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > CONFIG_BYTES:
            raise ProblemError(413, f"the JSON of a request may have {CONFIG_BYTES} bytes")
    return body


@dataclass(frozen=True)
class UploadForm:
    """What an upload holds: named files and the text of the field `config`."""

    files: list[tuple[str, BinaryIO]]
    config: str


@asynccontextmanager
async def read_form(request: Request, settings: Settings, field: str = "files") -> AsyncIterator[UploadForm]:
    """The request's form, whose files come as `field`; they are open inside the context only.

    Raises:
        ProblemError: a field of another name, or a file where text belongs.
    """
    async with open_form(request, settings.max_files) as form:
        yield await _sorted_out(form, field)


@asynccontextmanager
async def open_form(request: Request, max_files: int) -> AsyncIterator[FormData]:
    """The request's form; few are open at a time, as their files take memory.

    Raises:
        ProblemError: it cannot be decoded.
    """
    try:
        form = await request.form(max_files=max_files, max_fields=16, max_part_size=CONFIG_BYTES)
    except UnicodeError as error:  # a charset that the client made up
        raise ProblemError(400, "the form cannot be decoded: send its text as UTF-8") from error
    try:
        async with request.app.state.uploads:
            yield form
    finally:
        await form.close()


async def _sorted_out(form: FormData, field: str) -> UploadForm:
    files: list[tuple[str, BinaryIO]] = []
    config = ""
    for name, value in form.multi_items():
        if name == field and isinstance(value, UploadFile):
            files.append((value.filename or "", value.file))
        elif name == "config":
            config = await text_of(value)
        else:
            taken = f"the form takes `{field}` (with curl -F {field}=@FILE) and `config`"
            raise ProblemError(422, f"{name[:100]!a}: {taken}")
    return UploadForm(files, config)


async def text_of(value: UploadFile | str) -> str:
    """The text of a form's field, which may also come as a file."""
    return value if isinstance(value, str) else (await value.read(CONFIG_BYTES)).decode(errors="replace")
