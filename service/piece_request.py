"""What POST /generate takes: JSON, or a form with the same JSON as `config` and a MIDI file beside it."""

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from service.forms import FILE, media_type, open_form, parse_json, read_json, text_of
from service.problems import ProblemError
from worker.given_files import GivenFile
from worker.protocol import GenerateParams, Role
from worker.uploads import safe_name

JSON_TYPES = ("", "application/json", "application/x-www-form-urlencoded")  # the last is what `curl -d` says
ROLES: dict[str, Role] = {"primer": "primer", "source": "source"}
MOST_FILES = 8
"""More than one is too many, but that is for us to say."""
FILE_BYTES = 9 << 20
"""Read of a file: a little more than what is taken for one, so that a larger one is seen to be larger."""
TAKEN = "the form takes `config` (JSON) and a file `primer` or `source` (with curl -F primer=@tune.mid)"


@dataclass(frozen=True)
class PieceRequest:
    """Parameters and, if there is one, the file."""

    params: GenerateParams
    file: GivenFile | None = None

    @property
    def content(self) -> tuple[bytes, ...]:
        """What the request holds beside its parameters."""
        return (self.file.role.encode(), self.file.data) if self.file else ()


async def read_piece_request(request: Request) -> PieceRequest:
    """The body, which may be absent; what `curl -d '{…}'` sends without a header is read as JSON too.

    Raises:
        ProblemError: it cannot be read.
    """
    content_type = media_type(request)
    if content_type == "multipart/form-data":
        async with open_form(request, MOST_FILES) as form:
            return await _sorted_out(form)
    body = await read_json(request)
    if body.strip() and content_type not in JSON_TYPES:
        raise ProblemError(415, f"the body must be application/json or multipart/form-data, not {content_type}")
    return PieceRequest(parse_json(GenerateParams, body))


async def _sorted_out(form: FormData) -> PieceRequest:
    config = ""
    files: list[GivenFile] = []
    for name, value in form.multi_items():
        if name == "config":
            config = await text_of(value)
        elif name in ROLES and isinstance(value, UploadFile):
            files.append(GivenFile(ROLES[name], safe_name(value.filename or ""), await value.read(FILE_BYTES)))
        else:
            raise ProblemError(422, f"{name[:100]!a}: {TAKEN}")
    if len(files) > 1:
        names = ", ".join(f"{file.role} {file.name}" for file in files)
        raise ProblemError(422, f"{names}: one file, a primer or a source, is all that can be taken")
    return PieceRequest(parse_json(GenerateParams, config), *files)


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """A JSON schema without references, which would point nowhere inside of an OpenAPI document."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].removeprefix("#/$defs/")], definitions)
    return {name: _inlined(value, definitions) for name, value in node.items() if name != "$defs"}


def _schema() -> Any:
    schema = GenerateParams.model_json_schema()
    return _inlined(schema, schema.get("$defs", {}))


_FORM = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "config": {"type": "string", "description": "JSON, the members of the body as application/json"},
        "primer": {**FILE, "description": "a MIDI file that the piece begins with and goes on from"},
        "source": {**FILE, "description": "a MIDI file that is filled in: what `keep` names of it stays"},
    },
}
_FORM_EXAMPLES = {"bars": {"summary": "Eight bars; with a primer, after it", "value": {"config": '{"bars": 8}'}}}
_JSON_EXAMPLES = {
    "a piece": {"summary": "A piece of 400 steps", "value": {"length": 400, "seed": 7, "temperature": 0.9}},
    "bars": {"summary": "Sixteen bars for a flute", "value": {"bars": 16, "pitch_range": [60, 97], "program": 73}},
}
BODY = {
    "requestBody": {
        "content": {
            "application/json": {"schema": _schema(), "examples": _JSON_EXAMPLES},
            "multipart/form-data": {"schema": _FORM, "examples": _FORM_EXAMPLES},
        }
    }
}
"""What /openapi.json says of it."""
