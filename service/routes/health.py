"""/healthz and /readyz, for whoever watches the service; they need no key."""

import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request

from service.deps import BrokerDep
from service.described import MEDIA_TYPE, reference
from service.problems import RETRY_AFTER_SECONDS, ProblemError
from service.schemas import Health, NotReady, Readiness
from worker.errors import BrokerError
from worker.protocol import QUEUES, Kind, WorkerView

router = APIRouter(tags=["health"])

STARTING_SECONDS = 60.0
"""By then the workers are there, if they are ever to be."""
NOT_READY = {"description": "Not ready, and why", "content": {MEDIA_TYPE: {"schema": reference(NotReady)}}}


@router.get("/healthz", operation_id="healthz")
async def healthz() -> Health:
    """200 while the process is alive."""
    return Health(status="alive")


@dataclass
class Life:
    """What one process of the API knows of its own past."""

    started: float = field(default_factory=time.monotonic)
    was_ready: bool = False

    @property
    def state(self) -> Literal["starting", "failed"]:
        """Why it is not ready: not yet, or not any more."""
        young = time.monotonic() - self.started < STARTING_SECONDS
        return "starting" if young and not self.was_ready else "failed"


async def _life(request: Request) -> Life:
    life: Life = request.app.state.life
    return life


@router.get("/readyz", operation_id="readyz", responses={503: NOT_READY})
def readyz(broker: BrokerDep, life: Annotated[Life, Depends(_life)]) -> Readiness:
    """200 when Redis answers and a generate worker is there, 503 otherwise, with who is there.

    `state` is `ready`, or `busy` where pieces wait for a worker; `starting`, or else `failed`, with 503.
    """
    try:
        workers, waiting = broker.workers(), broker.waiting()[Kind.GENERATE]
    except BrokerError as error:
        raise _not_ready(life, "redis cannot be reached", redis=False, workers=[]) from error
    if not any(worker.queue == QUEUES[Kind.GENERATE] for worker in workers):
        raise _not_ready(life, "no generate worker", redis=True, workers=workers)
    life.was_ready = True
    return Readiness(status="ready", state="busy" if waiting else "ready", redis=True, workers=_dumped(workers))


def _not_ready(life: Life, why: str, *, redis: bool, workers: list[WorkerView]) -> ProblemError:
    members = {"state": life.state, "redis": redis, "workers": _dumped(workers)}
    return ProblemError(503, why, {"Retry-After": str(RETRY_AFTER_SECONDS)}, **members)


def _dumped(workers: list[WorkerView]) -> list[dict[str, Any]]:
    return [worker.model_dump() for worker in workers]
