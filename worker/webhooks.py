"""Webhooks: who asked for it is told of a job's end, signed as Standard Webhooks, again and again until it is heard.

    rnnrbm:webhook:JOB    URL to tell of the job's end
    rnnrbm:webhooks       sorted set of the jobs whose end is to be told, by the time when that is due
    rnnrbm:attempts:JOB   how often it was tried

A job comes into the set in the transaction that stores its end (worker.events), so no end is forgotten. The API takes
from it whatever is due (`Courier`); who takes a job puts its time off first, so that another takes over if it dies.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpcore
from pydantic import BaseModel
from redis import Redis
from redis.client import Pipeline
from rq.utils import as_text
from standardwebhooks.webhooks import Webhook

from worker.addresses import AddressError, GuardedBackend
from worker.errors import BrokerError, NotFoundError
from worker.events import DUE_WEBHOOKS, KEPT_SECONDS, attempts_key, redis_errors, webhook_key
from worker.protocol import JobView

if TYPE_CHECKING:
    from worker.broker import Broker

WAITS = (1, 5, 30, 300, 1800, 7200, 18_000, 36_000)
"""Seconds before each further attempt; after the last the receiver is given up."""
ATTEMPT_SECONDS = 15.0
LEASE_SECONDS = 60
REMEMBERED_SECONDS = 4 * KEPT_SECONDS
"""From submission; from the end it is another KEPT_SECONDS."""
IDLE_SECONDS = 1.0
AT_ONCE = 4
GONE = 410
"""How a receiver says that it wants no more."""
TAKE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)
if due[1] then redis.call('ZADD', KEYS[1], ARGV[2], due[1]) end
return due[1]
"""

logger = logging.getLogger(__name__)


class Announcement(BaseModel):
    """What is sent: the job as it ended."""

    type: str
    timestamp: datetime
    data: JobView


def remember(pipe: Pipeline, job_id: str, url: str) -> None:
    """Note whom to tell of a job's end, within the transaction that makes the job."""
    pipe.set(webhook_key(job_id), url, ex=REMEMBERED_SECONDS)


class Mailbox:
    """The ends that are yet to be told. Every method raises `BrokerError` when Redis cannot be used."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @redis_errors()
    def take(self) -> str | None:
        """A job whose end is due to be told; it is not given to anybody else for a while."""
        now = time.time()
        job_id = self._redis.eval(TAKE, 1, DUE_WEBHOOKS, now, now + LEASE_SECONDS)
        return as_text(job_id) if job_id else None

    @redis_errors()
    def url(self, job_id: str) -> str | None:
        """Whom to tell."""
        url = self._redis.get(webhook_key(job_id))
        return as_text(url) if url else None

    @redis_errors()
    def done(self, job_id: str) -> None:
        """Forget it: it was told, or never will be."""
        with self._redis.pipeline() as pipe:
            pipe.zrem(DUE_WEBHOOKS, job_id)
            pipe.delete(webhook_key(job_id), attempts_key(job_id))
            pipe.execute()

    @redis_errors()
    def put_off(self, job_id: str, waits: Sequence[float]) -> float | None:
        """Have it told later; None where it was tried often enough."""
        attempts = int(self._redis.incr(attempts_key(job_id)))
        if attempts > len(waits):
            self.done(job_id)
            return None
        with self._redis.pipeline() as pipe:
            pipe.zadd(DUE_WEBHOOKS, {job_id: time.time() + waits[attempts - 1]}, xx=True)
            pipe.expire(attempts_key(job_id), KEPT_SECONDS)
            pipe.execute()
        return waits[attempts - 1]


class Courier:
    """Tells receivers of jobs' ends for as long as `run` is not cancelled.

    Args:
        broker: whose jobs.
        secret: signs what is sent, `whsec_…`.
        private: whether receivers may be in private networks, and without TLS.
        waits: seconds before each further attempt.
    """

    def __init__(self, broker: "Broker", secret: str, *, private: bool, waits: Sequence[float] = WAITS) -> None:
        self._broker = broker
        self._mailbox = broker.mailbox
        self._signer = Webhook(secret)
        self._private = private
        self._waits = waits

    async def run(self) -> None:
        """Deliver, a few at once, as one receiver may keep us waiting."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._round())

    async def _round(self) -> None:
        while True:
            try:
                job_id = await asyncio.to_thread(self._mailbox.take)
                if job_id is not None:
                    await self._deliver(job_id)
                    continue
            except BrokerError as error:
                logger.warning("webhooks have to wait: %s", error)
            await asyncio.sleep(IDLE_SECONDS)

    async def _deliver(self, job_id: str) -> None:
        url = await asyncio.to_thread(self._mailbox.url, job_id)
        view = None
        with suppress(NotFoundError):
            view = await asyncio.to_thread(self._broker.view, job_id)
        if url is None or view is None or await self._tell(url, view):
            await asyncio.to_thread(self._mailbox.done, job_id)
        elif await asyncio.to_thread(self._mailbox.put_off, job_id, self._waits) is None:
            logger.warning("webhook of job %s: given up", job_id)

    async def _tell(self, url: str, view: JobView) -> bool:
        """Send it once; whether that is the last of it."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status = await self._post(url, view)
        except (AddressError, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:  # a timeout is the last
            logger.info("webhook of job %s: %s", view.id, error or type(error).__name__)
            return False
        logger.info("webhook of job %s: answered with %d", view.id, status)
        return 200 <= status < 300 or status == GONE

    async def _post(self, url: str, view: JobView) -> int:
        body = self._body(view)
        backend = GuardedBackend(private=self._private)
        async with (
            httpcore.AsyncConnectionPool(network_backend=backend) as pool,
            pool.stream("POST", url, headers=self._headers(view.id, body), content=body.encode()) as response,
        ):
            status: int = response.status  # what else it says is of no interest, and may be long
            return status

    def _headers(self, job_id: str, body: str) -> dict[bytes | str, bytes | str]:
        sent = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "user-agent": "rnnrbm",
            "webhook-id": job_id,
            "webhook-timestamp": str(int(sent.timestamp())),
            "webhook-signature": self._signer.sign(job_id, sent, body),
        }

    @staticmethod
    def _body(view: JobView) -> str:
        ended = view.ended_at or view.created_at
        return Announcement(type=f"job.{view.status}", timestamp=ended, data=view).model_dump_json()
