"""Answers that speak of a job."""

from fastapi.responses import JSONResponse

from service.problems import ProblemError
from worker.protocol import JobView, Status

POLL_SECONDS = 1


def accepted(view: JobView, headers: dict[str, str] | None = None, **members: object) -> JSONResponse:
    """202 with the job, where to look for it and when; `members` are added to it."""
    headers = {"Location": f"/jobs/{view.id}", "Retry-After": str(POLL_SECONDS), **(headers or {})}
    return JSONResponse({**view.model_dump(mode="json"), **members}, 202, headers)


def problem_of(view: JobView) -> ProblemError:
    """Why a job that was waited for brought nothing."""
    headers = {"X-Job-Id": view.id}
    if view.status is Status.CANCELLED:
        return ProblemError(409, f"job {view.id} was cancelled", headers)
    detail = view.problem.detail if view.problem else "the job failed"
    return ProblemError(500, f"job {view.id} failed: {detail}", headers)
