"""What can go wrong between a client and the service, as one tree.

ClientError
├── UnreachableError   there is no service, or it does not answer
├── ApiError           it answered with a problem
├── JobError           a job brought nothing
└── FileError          a file cannot be read or written here
"""

import httpx

from client.views import Job, Refusal

MOST_TEXT = 500
"""Characters shown of an answer that is no problem details, as a proxy's may be."""


class ClientError(Exception):
    """Base of every error that the client raises on purpose; its text is fit for the user."""


class UnreachableError(ClientError):
    """There is no service at the URL, or it does not answer."""


class FileError(ClientError):
    """A file cannot be read or written on this machine."""

    def __init__(self, path: object, reason: object) -> None:
        super().__init__(f"{path}: {reason}")


class ApiError(ClientError):
    """The service answered with a problem (RFC 9457).

    Args:
        status: HTTP's.
        title: that status in words.
        detail: what was wrong.
        refused: files that cannot be used, each with its reason.
        errors: fields at fault, each with its message.
        retry_after: seconds after which it may be tried again.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        refused: tuple[Refusal, ...] = (),
        errors: tuple[dict[str, str], ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__("\n".join([f"{title}: {detail}", *(f"  {file.file}: {file.reason}" for file in refused)]))
        self.status = status
        self.title = title
        self.detail = detail
        self.refused = refused
        self.errors = errors
        self.retry_after = retry_after


class JobError(ClientError):
    """A job failed, or was cancelled before it brought anything."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} {job.status}" + (f": {job.problem.detail}" if job.problem else ""))
        self.job = job


def error_of(response: httpx.Response) -> ApiError:
    """The problem that an answer, which has been read, holds."""
    retry_after = response.headers.get("Retry-After", "")
    seconds = int(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
    if response.headers.get("Content-Type") != "application/problem+json":
        return ApiError(response.status_code, response.reason_phrase, response.text[:MOST_TEXT], retry_after=seconds)
    body = response.json()
    return ApiError(
        response.status_code,
        body["title"],
        body["detail"],
        tuple(Refusal.model_validate(file) for file in body.get("refused") or ()),
        tuple(body.get("errors") or ()),
        seconds,
    )
