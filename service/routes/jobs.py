"""/jobs: what is queued, running or done."""

from collections.abc import AsyncIterable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from service.deps import After, BrokerDep, JobId, Limit
from service.schemas import Page
from worker.protocol import JobView, Kind, Status

router = APIRouter(prefix="/jobs", tags=["jobs"])


Notes = Annotated[
    list[Annotated[str, Field(pattern="^[^:]{1,64}:", max_length=64 + 1 + 512)]],
    Query(description="KEY:VALUE, of the job's `metadata`; several: all of them", examples=[["run:7"]]),
]


@router.get("", operation_id="list_jobs")
def list_jobs(
    broker: BrokerDep,
    after: After = None,
    limit: Limit = 50,
    kind: Annotated[Kind | None, Query()] = None,
    status: Annotated[Status | None, Query()] = None,
    metadata: Notes = [],  # noqa: B006 (FastAPI copies it)
) -> Page[JobView]:
    """All jobs, newest first."""
    notes = dict(note.split(":", 1) for note in metadata)
    views, cursor = broker.jobs(after, limit, kind=kind, status=status, metadata=notes)
    return Page(items=views, next=cursor)


@router.get("/{job_id}", operation_id="get_job")
def get(job_id: JobId, broker: BrokerDep) -> JobView:
    """One job: its state, progress, result or problem."""
    return broker.view(job_id)


@router.delete("/{job_id}", operation_id="cancel_job")
def cancel(job_id: JobId, broker: BrokerDep) -> JobView:
    """Cancel a job; a running training stops soon and keeps what it has learned as a model."""
    return broker.cancel(job_id)


def _known(job_id: JobId, broker: BrokerDep) -> str:
    """The id of a job that exists: once events flow it is too late for a 404."""
    return broker.view(job_id).id


@router.get("/{job_id}/events", operation_id="get_job_events", response_class=EventSourceResponse)
async def events(
    job_id: Annotated[str, Depends(_known)], broker: BrokerDep, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterable[ServerSentEvent]:
    """Server-sent events: `progress` with each epoch's metrics, at last `end` with the job."""
    async for event in broker.events(job_id, last_event_id):
        yield ServerSentEvent(id=event.id, event=event.event, data=event.data)
