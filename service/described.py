"""The words in which routes tell /openapi.json of their requests and answers; service.openapi puts them together."""

from typing import Any

from pydantic import BaseModel

MEDIA_TYPE = "application/problem+json"
PROBLEM: dict[str, Any] = {
    "description": "Problem details (RFC 9457)",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
}
"""Every error."""
ERRORS = {
    400: "The body cannot be taken apart",
    401: "A key is missing, or not known",
    404: "There is no such thing",
    406: "It cannot be had in that form",
    409: "It cannot be done to this one",
    413: "The body is too large",
    415: "The body has another form than is taken",
    422: "What is asked for makes no sense; `errors` names the fields, `refused` the files",
    429: "Too many requests, or jobs that wait",
    500: "Our fault",
    503: "Redis or the store cannot be reached",
    504: "The job's deadline passed",
}
FILE = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
"""A file, in the terms of 3.1 and in older ones, which generators of clients look for."""
BINARY: dict[str, Any] = {"schema": FILE}
FILES = {"type": "array", "minItems": 1, "items": FILE, "description": ".mid, .midi, or .zip of them"}


def _named(file: str) -> dict[str, Any]:
    """The encoding of a part that is a file; what its name ends in counts."""
    disposition = {"schema": {"type": "string"}, "example": f'form-data; filename="{file}"'}
    return {"headers": {"Content-Disposition": disposition}}


MIDI_PART = _named("tune.mid")
MODEL_PART = _named("model.safetensors")


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """Where the document has the schema of a body."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def json_body(schema: dict[str, Any], **examples: Any) -> dict[str, Any]:
    """JSON, with an example for each use."""
    shown = {name.replace("_", " "): {"value": value} for name, value in examples.items()}
    return {"application/json": {"schema": schema, "examples": shown}}


def form_body(config: type[BaseModel], files: dict[str, Any], parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A form with files, and with JSON in the field `config`.

    Args:
        config: what that JSON holds.
        files: the schema of each field with files.
        parts: and how its parts are sent.
        more: keywords of the form's schema.
    """
    schema = {
        "type": "object",
        "properties": {**files, "config": reference(config)},
        "additionalProperties": False,
        **more,
    }
    encoding = {**parts, "config": {"contentType": "application/json"}}
    return {"multipart/form-data": {"schema": schema, "encoding": encoding}}


def body(*contents: dict[str, Any], required: bool = True) -> dict[str, Any]:
    """A request's body in one of several media types."""
    content = {media_type: described for one in contents for media_type, described in one.items()}
    return {"requestBody": {"required": required, "content": content}}


def headers(*names: str) -> dict[str, Any]:
    """Headers of an answer; service.openapi says what they mean."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors of a route that do not follow from its form."""
    return {status: error(status) for status in statuses}


def error(status: int) -> dict[str, Any]:
    """What one error means."""
    return {**PROBLEM, "description": ERRORS[status]}
