"""Every error of the API as problem details (RFC 9457): our own, the framework's, and those nobody foresaw."""

import http
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.described import MEDIA_TYPE
from worker.errors import (
    BrokerError,
    BundledError,
    NotFoundError,
    ParameterError,
    QueueFullError,
    SeveralPiecesError,
    StoreError,
    TooLongError,
    UploadError,
    WorkerError,
)

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
MOST_ERRORS = 20
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
STATUS_OF: dict[type[WorkerError], int] = {
    NotFoundError: 404,
    UploadError: 422,
    ParameterError: 422,
    QueueFullError: 429,
    BrokerError: 503,
    BundledError: 409,
    SeveralPiecesError: 406,
    TooLongError: 406,
    StoreError: 503,
}
"""The first class in an error's ancestry that is listed decides."""


class ProblemDetails(BaseModel):
    """RFC 9457, with lists that name the fields or files at fault."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None
    refused: list[dict[str, str]] | None = None


class ProblemError(Exception):
    """Raise it to answer with that problem."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = members


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> JSONResponse:
    """A response with that problem; `members` are extension members."""
    body = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem."""
    app.exception_handler(ProblemError)(_on_problem)
    app.exception_handler(HTTPException)(_on_http)
    app.exception_handler(RequestValidationError)(_on_invalid)
    app.exception_handler(WorkerError)(_on_worker)
    app.exception_handler(Exception)(_on_unforeseen)
    app.add_middleware(_PlainTextErrors)


async def _on_problem(_request: Request, error: ProblemError) -> JSONResponse:
    return problem(error.status, error.detail, error.headers, **error.members)


async def _on_http(request: Request, error: HTTPException) -> JSONResponse:
    detail = _detail(error.status_code, request.method, request.url.path) or str(error.detail)
    headers = dict(error.headers) if error.headers else {}
    if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return problem(error.status_code, detail, headers)


def _methods(request: Request) -> list[str]:
    """What is possible at the request's path; a route knows its own methods only, and a path may have several."""
    scopes = [{**request.scope, "method": method} for method in METHODS]
    routes = request.app.routes
    return [scope["method"] for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def _detail(status: int, method: str, path: str) -> str | None:
    """More than the framework says of an error, which is the status in words."""
    return {
        404: f"there is nothing at {path}; GET /docs lists the routes",
        405: f"{method} is not possible at {path}; GET /docs lists the routes",
        413: "the request's body is larger than this service takes (RNNRBM_MAX_UPLOAD_BYTES); split the upload",
    }.get(status)


async def _on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    return await _on_problem(request, invalid_error(error.errors()))


def invalid_error(errors: Any) -> ProblemError:
    """422 for pydantic's list of errors, each with its field."""
    found = [
        {"field": ".".join(map(str, e["loc"]))[:100] or "body", "message": e["msg"].removeprefix("Value error, ")}
        for e in errors[:MOST_ERRORS]
    ]
    detail = "; ".join(f"{e['field']}: {e['message']}" for e in found)
    return ProblemError(422, detail, errors=found)


async def _on_worker(_request: Request, error: WorkerError) -> JSONResponse:
    status = next((STATUS_OF[c] for c in type(error).__mro__ if c in STATUS_OF), 500)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status in (429, 503) else None
    members: dict[str, Any] = {}
    if isinstance(error, UploadError):
        members["refused"] = error.refused
    if isinstance(error, ParameterError):
        members["errors"] = [{"field": error.field, "message": error.reason}]
    return problem(status, str(error), headers, **members)


async def _on_unforeseen(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "an unexpected error; the service's log has it")


class _PlainTextErrors:
    """Turns errors that the framework answers in plain text, below the exception handlers, into problems."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_plain_error(message):
                replaced = True
                status = message["status"]
                detail = _detail(status, scope["method"], scope["path"]) or http.HTTPStatus(status).phrase
                await problem(status, detail)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._app(scope, receive, send_problem if scope["type"] == "http" else send)


def _is_plain_error(message: Message) -> bool:
    content_type: bytes = dict(message.get("headers", [])).get(b"content-type", b"")
    return bool(message["status"] >= http.HTTPStatus.BAD_REQUEST) and content_type.startswith(b"text/plain")
