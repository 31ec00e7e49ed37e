"""What RQ keeps of a job, as its user sees it: the one place that maps states."""

from typing import Any

from pydantic import ValidationError
from rq.job import Job, JobStatus

from worker.protocol import JobView, Kind, Outcome, Problem, Status

STATUSES = {
    JobStatus.STARTED: Status.RUNNING,
    JobStatus.FAILED: Status.FAILED,
    JobStatus.STOPPED: Status.CANCELLED,
    JobStatus.CANCELED: Status.CANCELLED,
}
WORKER_DIED = Problem(
    type="WorkerDied", detail="the worker that ran the job died, and so did those that tried it again"
)
DEADLINE_PASSED = Problem(type="DeadlinePassed", detail="the job was not done by its deadline")


def internal_error(job_id: str) -> Problem:
    """What the user is told about an error nobody expected; the traceback stays in the log."""
    detail = f"an unexpected error stopped the job; the worker's log has it under job {job_id}"
    return Problem(type="InternalError", detail=detail)


def view_of(job: Job, returned: Any = None, exception: str | None = None) -> JobView:
    """RQ's job, with what its function returned and how its latest run failed, as our user sees them."""
    rq_status = job.get_status(refresh=False)
    outcome = None
    if rq_status is JobStatus.FINISHED:
        outcome = _outcome(job.id, returned)
        status = Status(outcome.status)
    else:
        status = STATUSES.get(rq_status, Status.QUEUED)
    problem = outcome.problem if outcome else job.meta.get("problem")
    if rq_status is JobStatus.FAILED:
        died = "AbandonedJobError" in (exception or "")
        problem = WORKER_DIED if died else internal_error(job.id)
    return JobView(
        id=job.id,
        kind=Kind(job.meta["kind"]),
        status=status,
        progress=job.meta.get("progress"),
        result=outcome.result or None if outcome else None,
        problem=problem,
        seed=job.meta.get("seed"),
        metadata=job.meta.get("metadata", {}),
        deadline=job.meta.get("deadline"),
        created_at=job.created_at,
        # RQ keeps the times of an earlier run in a job that waits for the next one.
        started_at=None if status is Status.QUEUED else job.started_at,
        ended_at=job.ended_at if status.ended else None,
    )


def _outcome(job_id: str, returned: Any) -> Outcome:
    try:
        return Outcome.model_validate(returned)
    except ValidationError:  # RQ stores a placeholder for what JSON cannot hold
        return Outcome(status=Status.FAILED, problem=internal_error(job_id))
