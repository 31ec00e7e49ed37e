"""/healthz and /readyz, for whoever watches the service; they need no key."""

from fastapi import APIRouter

from service.deps import BrokerDep
from service.problems import RETRY_AFTER_SECONDS, ProblemError
from service.schemas import Health, Readiness
from worker.errors import BrokerError
from worker.protocol import QUEUES, Kind, WorkerView

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz")
async def healthz() -> Health:
    """200 while the process is alive."""
    return Health(status="alive")


@router.get("/readyz", operation_id="readyz")
def readyz(broker: BrokerDep) -> Readiness:
    """200 when Redis answers and a generate worker is there, 503 otherwise, with who is there."""
    try:
        workers = broker.workers()
    except BrokerError as error:
        raise _not_ready("redis cannot be reached", redis=False, workers=[]) from error
    if not any(worker.queue == QUEUES[Kind.GENERATE] for worker in workers):
        raise _not_ready("no generate worker", redis=True, workers=workers)
    return Readiness(status="ready", redis=True, workers=[worker.model_dump() for worker in workers])


def _not_ready(why: str, *, redis: bool, workers: list[WorkerView]) -> ProblemError:
    there = [worker.model_dump() for worker in workers]
    return ProblemError(503, why, {"Retry-After": str(RETRY_AFTER_SECONDS)}, redis=redis, workers=there)
