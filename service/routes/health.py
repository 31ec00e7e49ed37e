"""/healthz and /readyz, for whoever watches the service."""

from fastapi import APIRouter, Response

from service.deps import BrokerDep
from service.schemas import Health, Readiness
from worker.errors import BrokerError
from worker.protocol import QUEUES, Kind

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz")
async def healthz() -> Health:
    """200 while the process is alive."""
    return Health(status="alive")


@router.get("/readyz", operation_id="readyz", responses={503: {"model": Readiness}})
def readyz(broker: BrokerDep, response: Response) -> Readiness:
    """200 when Redis answers and a generate worker is there, 503 otherwise, with who is there."""
    try:
        workers = broker.workers()
    except BrokerError:
        response.status_code = 503
        return Readiness(status="redis cannot be reached", redis=False, workers=[])
    ready = any(worker.queue == QUEUES[Kind.GENERATE] for worker in workers)
    response.status_code = 200 if ready else 503
    status = "ready" if ready else "no generate worker"
    return Readiness(status=status, redis=True, workers=[worker.model_dump() for worker in workers])
