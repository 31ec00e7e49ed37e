"""Jobs as routes make them, and answers that speak of one."""

import hashlib
from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from service.auth import CallerDep
from service.deps import BrokerDep, SettingsDep
from service.problems import RETRY_AFTER_SECONDS, STATUS_OF, ProblemError
from worker.addresses import AddressError, check_url
from worker.broker import Broker
from worker.errors import ParameterError
from worker.idempotency import Claim
from worker.protocol import JobOptions, JobView, Kind, Status
from worker.settings import Settings
from worker.submission import Terms

POLL_SECONDS = 1
STATUS_OF_PROBLEM = {error.__name__: status for error, status in STATUS_OF.items()} | {
    "ConfigError": 422,
    "CorpusError": 422,
    "MidiError": 422,
    "DeadlinePassed": 504,
}
"""By the type of a job's problem; what is not here is our fault."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="the same key and request, sent again within 24 hours, get the same job",
    ),
]


class Submitter:
    """Puts the job that a request asks for into its queue, on the terms that its headers and body name."""

    def __init__(self, broker: Broker, settings: Settings, client: str, path: str, key: str | None) -> None:
        self._broker = broker
        self._settings = settings
        self._client = client
        self._path = path
        self._key = key

    def __call__(self, kind: Kind, job: BaseModel, asked: JobOptions, *files: bytes) -> JobView:
        """The job, which another request with the same idempotency key may have made.

        Args:
            kind: which queue.
            job: the job's parameters.
            asked: what the client asked for, before open choices were made, such as that of a seed.
            files: what else the request holds.

        Raises:
            ParameterError: `webhook` may not be told, or the idempotency key belongs to another request.
            QueueFullError: too many jobs are waiting.
        """
        webhook = _webhook(asked, self._settings)
        terms = Terms(asked.deadline, webhook, asked.metadata, self._claim(asked, files))
        params = job.model_dump(mode="json", exclude_none=True)
        return self._broker.submit(kind, params, max_queued=self._settings.max_queued, terms=terms)

    def _claim(self, asked: JobOptions, files: tuple[bytes, ...]) -> Claim | None:
        if self._key is None:
            return None
        parts = (self._path.encode(), asked.model_dump_json().encode(), *files)
        digests = b"".join(hashlib.sha256(part).digest() for part in parts)
        return Claim(self._client, self._key, hashlib.sha256(digests).hexdigest())


async def _submitter(
    request: Request,
    caller: CallerDep,
    broker: BrokerDep,
    settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> Submitter:
    return Submitter(broker, settings, caller.id, request.url.path, idempotency_key)


SubmitDep = Annotated[Submitter, Depends(_submitter)]


def _webhook(asked: JobOptions, settings: Settings) -> str | None:
    if asked.webhook is None:
        return None
    if not settings.webhook_secret:
        raise ParameterError("webhook", "this service sends none, as it has no RNNRBM_WEBHOOK_SECRET to sign them with")
    try:
        check_url(str(asked.webhook), private=settings.webhook_private)
    except AddressError as error:
        raise ParameterError("webhook", str(error)) from error
    return str(asked.webhook)


def accepted(view: JobView, headers: dict[str, str] | None = None, **members: object) -> JSONResponse:
    """202 with the job, where to look for it and when; `members` are added to it."""
    headers = {"Location": f"/jobs/{view.id}", "Retry-After": str(POLL_SECONDS), **(headers or {})}
    return JSONResponse({**view.model_dump(mode="json"), **members}, 202, headers)


def problem_of(view: JobView) -> ProblemError:
    """Why a job that was waited for brought nothing."""
    headers = {"X-Job-Id": view.id}
    if view.problem is None:
        how = (409, "was cancelled") if view.status is Status.CANCELLED else (500, "failed")
        return ProblemError(how[0], f"job {view.id} {how[1]}", headers)
    status = STATUS_OF_PROBLEM.get(view.problem.type, 500)
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return ProblemError(status, f"job {view.id} {view.status}: {view.problem.detail}", headers)
