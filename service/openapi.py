"""/openapi.json: what FastAPI finds out by itself, made complete.

Every error of every route, the headers of answers, the bodies that routes read by themselves, and the bounds that the
settings set: what a request's schema allows, this service takes, as far as JSON Schema has words for it.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.described import error
from service.examples import EXAMPLES
from service.limits import PROBES
from service.problems import ProblemDetails
from service.schemas import NotReady
from worker.corpora import CorpusParams
from worker.models import RESERVED_NAMES, DefaultModel, Description, ImportParams, SnapshotParams
from worker.protocol import EvaluateParams, EvaluateRequest, GenerateParams, TrainJob, TrainParams
from worker.settings import Settings
from worker.store import ArtefactStore

Node = dict[str, Any]

BODIES: tuple[type[BaseModel], ...] = (
    CorpusParams, DefaultModel, Description, EvaluateParams, EvaluateRequest, GenerateParams, ImportParams,
    NotReady, ProblemDetails, SnapshotParams, TrainJob, TrainParams,
)  # fmt: skip
JSON_PIECE = "PieceParams"
"""What POST /generate takes as JSON: all but `keep`, which speaks of a file."""
HEADERS = {
    "Content-Disposition": "the file's name",
    "Location": "where what was made is, or the job that makes it",
    "Preference-Applied": "what of `Prefer` was heeded",
    "RateLimit": "requests that are left (r), until the window ends in so many seconds (t); where they are limited",
    "RateLimit-Policy": "requests (q) in so many seconds (w)",
    "Retry-After": "seconds after which to ask again",
    "WWW-Authenticate": "the scheme of keys",
    "X-Job-Id": "the job that made the piece, or makes it",
    "X-Seed": "the piece's seed, or the first one's",
}
HEADERS_OF_ERRORS = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}
OF_BODIES = (400, 413, 415, 422)


def install(app: FastAPI, settings: Settings, store: ArtefactStore) -> None:
    """Complete the document when it is first asked for."""
    described = app.openapi

    def openapi() -> Node:
        if app.openapi_schema is None:
            _complete(described(), settings, store)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _complete(document: Node, settings: Settings, store: ArtefactStore) -> None:
    components = document["components"]
    schemas = components["schemas"]
    schemas |= models_json_schema(
        [(body, "validation") for body in BODIES], ref_template="#/components/schemas/{model}"
    )[1]["$defs"]
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    _bound(schemas, settings, store)
    schemas[JSON_PIECE] = _without(schemas["GenerateParams"], "keep")
    components["headers"] = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()
    }
    for path, operation in _operations(document):
        _add_errors(path, operation)
        _add_headers(path, operation)


def _operations(document: Node) -> Iterator[tuple[str, Node]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _add_errors(path: str, operation: Node) -> None:
    """Those that follow from a route's form; others it names itself."""
    responses = operation["responses"]
    statuses = {"/healthz": [], "/readyz": [503]}.get(path, [429, 503])
    if "security" in operation:
        statuses.append(401)
    if "{" in path:
        statuses.append(404)
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        statuses.append(422)
    if "requestBody" in operation:
        statuses += OF_BODIES
    found = {str(status): error(status) for status in statuses}
    own = {status: response for status, response in responses.items() if status != "422"}
    operation["responses"] = dict(sorted({**found, **own}.items()))


def _add_headers(path: str, operation: Node) -> None:
    for status, response in operation["responses"].items():
        names = HEADERS_OF_ERRORS.get(status, ()) + (() if path in PROBES else ("RateLimit", "RateLimit-Policy"))
        found = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        response["headers"] = {**response.get("headers", {}), **found}


def _bound(schemas: Node, settings: Settings, store: ArtefactStore) -> None:
    """Say in the bodies' schemas what else the settings and the store do not allow."""
    bounds = {"length": settings.max_length, "n": settings.max_pieces}
    taken = sorted(RESERVED_NAMES | store.bundled_names())
    for body in BODIES:
        members = schemas[body.__name__]["properties"]
        if "webhook" in members and not settings.webhook_secret:
            members["webhook"] = {
                "type": "null",
                "description": "URL that is told of the job's end; this service has no secret, and so tells nobody",
            }
        if issubclass(body, (TrainParams, Description)):
            members["name"] = {**members["name"], "not": {"enum": taken}}
        for name in bounds.keys() & members.keys():
            _integer(members[name])["maximum"] = bounds[name]


def _integer(member: Node) -> Node:
    """The part of a member's schema that speaks of numbers; null may be allowed beside it."""
    found: Node = next(part for part in member.get("anyOf", [member]) if part["type"] == "integer")
    return found


def _without(schema: Node, name: str) -> Node:
    properties = {key: value for key, value in schema["properties"].items() if key != name}
    return {**schema, "title": JSON_PIECE, "properties": properties}
