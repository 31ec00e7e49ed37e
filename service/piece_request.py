"""What POST /generate takes: JSON, or a form with the same JSON as `config` and a MIDI file beside it."""

from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from service.described import FILE, MIDI_PART, body, form_body, json_body
from service.forms import media_type, open_form, parse_json, read_json, text_of
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


_FILES = {
    "primer": {**FILE, "description": "a MIDI file that the piece begins with and goes on from"},
    "source": {**FILE, "description": "a MIDI file that is filled in: what `keep` names of it stays"},
}
_LENGTHS = ("length", "bars", "seconds")
_WITH_SOURCE = {
    "required": ["config"],
    "properties": {
        "primer": False,
        "config": {
            "required": ["keep"],
            "properties": {"keep": {"type": "array"}, **{name: {"type": "null"} for name in _LENGTHS}},
        },
    },
}
_WITHOUT_SOURCE = {"properties": {"config": {"properties": {"keep": {"type": "null"}}}}}
_RULES = {"if": {"required": ["source"]}, "then": _WITH_SOURCE, "else": _WITHOUT_SOURCE}
BODY = body(
    json_body(
        {"$ref": "#/components/schemas/PieceParams"},
        a_piece={"length": 60, "seed": 7, "temperature": 0.9},
        four_bars_for_a_flute={"bars": 4, "pitch_range": [60, 97], "program": 73},
    ),
    form_body(GenerateParams, _FILES, dict.fromkeys(_FILES, MIDI_PART), **_RULES),
    required=False,
)
"""What /openapi.json says of it."""
