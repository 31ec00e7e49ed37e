"""The event stream of each job, `rnnrbm:events:JOB`: queued, started, progress…, end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import AbstractBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError

from worker.errors import BrokerError
from worker.protocol import Event

KEPT = timedelta(days=7)
KEPT_SECONDS = int(KEPT.total_seconds())
EVENTS_KEPT = 10_000
WAIT_SLICE = 2.0
"""Longest blocking read: between two the job is looked at, as its worker may have died without a word."""
MAX_WAITERS = 10_000


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise `BrokerError` for whatever goes wrong between here and Redis."""
    try:
        yield
    except RedisError as error:
        raise BrokerError(f"the job queue cannot be used: {error}") from error


class EventLog:
    """Appends to the streams, and reads them without keeping a thread waiting.

    Args:
        redis: for appending.
        url: for clients that wait; opened at the first read.
        backoff: waits between tries of a command.
        retries: how often it is tried again.
    """

    def __init__(self, redis: Redis, url: str, backoff: AbstractBackoff, retries: int) -> None:
        self._redis = redis
        self._url = url
        self._retry = AsyncRetry(backoff, retries)
        self._waiting: AsyncRedis | None = None

    def append(self, pipe: Pipeline, job_id: str, event: str, data: dict[str, Any]) -> None:
        """Append within a transaction."""
        pipe.xadd(_stream(job_id), {"event": event, "data": json.dumps(data)}, maxlen=EVENTS_KEPT, approximate=True)
        pipe.expire(_stream(job_id), KEPT_SECONDS)

    def has_end(self, job_id: str) -> bool:
        """Whether the stream is complete."""
        last: Any = self._redis.xrevrange(_stream(job_id), count=1)
        return bool(last) and last[0][1][b"event"] == b"end"

    async def read(self, job_id: str, after: str, seconds: float) -> list[Event]:
        """What the stream holds after an entry, waiting up to so many seconds for it. Raises BrokerError."""
        if self._waiting is None:
            self._waiting = AsyncRedis.from_url(
                self._url,
                retry=self._retry,
                socket_timeout=WAIT_SLICE + 10,
                socket_connect_timeout=5,
                max_connections=MAX_WAITERS,
                protocol=2,
            )
        block = int(seconds * 1000) or None  # 0 would wait for ever
        with redis_errors():
            reply: Any = await self._waiting.xread({_stream(job_id): after}, block=block)
        return [_event(*entry) for _, entries in reply for entry in entries]

    async def close(self) -> None:
        """Close the connections; the next read opens new ones."""
        client, self._waiting = self._waiting, None
        if client is not None:
            await client.aclose()


def _stream(job_id: str) -> str:
    return f"rnnrbm:events:{job_id}"


def _event(entry: bytes, fields: dict[bytes, bytes]) -> Event:
    return Event.model_validate(
        {"id": entry.decode(), "event": fields[b"event"].decode(), "data": json.loads(fields[b"data"])}
    )
