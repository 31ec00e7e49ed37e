"""The event stream of each job, `rnnrbm:events:JOB`: queued, started, progress…, end.

The end has an id of its own, later than any time: a stream has one end, and who waits for nothing else reads from
just before it and is not woken by what comes earlier. As it is written once, what is to happen once at a job's end
happens with it: the job is counted (`rnnrbm:outcomes`), and its webhook comes due (worker.webhooks).
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import AbstractBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError

from worker.errors import BrokerError
from worker.protocol import Event, JobView

KEPT = timedelta(days=7)
KEPT_SECONDS = int(KEPT.total_seconds())
EVENTS_KEPT = 10_000
WAIT_SLICE = 2.0
"""Longest blocking read: between two the job is looked at, as its worker may have died without a word."""
MAX_WAITERS = 10_000
BEGINNING = "0-0"
BEFORE_END, END = "9999999999999-0", "9999999999999-1"  # other ids begin with the time in milliseconds
OUTCOMES = "rnnrbm:outcomes"
DUE_WEBHOOKS = "rnnrbm:webhooks"
ADD_END = f"""
local added = redis.pcall('XADD', KEYS[1], '{END}', 'event', 'end', 'data', ARGV[1])
if type(added) == 'string' then
    redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
    if redis.call('EXISTS', KEYS[3]) == 1 then
        redis.call('EXPIRE', KEYS[3], {KEPT_SECONDS})
        redis.call('ZADD', KEYS[4], ARGV[3], ARGV[4])
    end
end
return redis.call('EXPIRE', KEYS[1], {KEPT_SECONDS})
"""
"""An id that is there already is an error to XADD, which in a transaction of RQ's would be one of the job."""


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise `BrokerError` for whatever goes wrong between here and Redis."""
    try:
        yield
    except RedisError as error:
        raise BrokerError(f"the job queue cannot be used: {error}") from error


def append(pipe: Pipeline, job_id: str, event: str, data: dict[str, Any]) -> None:
    """Append to a job's stream within a transaction."""
    pipe.xadd(_stream(job_id), {"event": event, "data": json.dumps(data)}, maxlen=EVENTS_KEPT, approximate=True)
    pipe.expire(_stream(job_id), KEPT_SECONDS)


def append_end(pipe: Pipeline, view: JobView) -> None:
    """Append the job as it ended, within a transaction; does nothing where the stream has its end."""
    keys = (_stream(view.id), OUTCOMES, webhook_key(view.id), DUE_WEBHOOKS)
    arguments = (view.model_dump_json(), f"{view.kind}:{view.status}", time.time(), view.id)
    pipe.eval(ADD_END, len(keys), *keys, *arguments)


class EventReader:
    """Reads the streams without keeping a thread waiting.

    Args:
        url: for the clients that wait; opened at the first read.
        backoff: waits between tries of a command.
        retries: how often it is tried again.
    """

    def __init__(self, url: str, backoff: AbstractBackoff, retries: int) -> None:
        self._url = url
        self._retry = AsyncRetry(backoff, retries)
        self._waiting: AsyncRedis | None = None

    async def read(self, job_id: str, after: str, seconds: float) -> list[Event]:
        """What the stream holds after an entry, waiting up to so many seconds for it. Raises BrokerError."""
        return [_event(*entry) for entry in await self._entries(job_id, after, seconds)]

    async def end(self, job_id: str, seconds: float) -> JobView | None:
        """The job as it ended, or None where it has not after so many seconds. Raises BrokerError."""
        entries = await self._entries(job_id, BEFORE_END, seconds)
        return JobView.model_validate_json(entries[0][1][b"data"]) if entries else None

    async def _entries(self, job_id: str, after: str, seconds: float) -> list[tuple[bytes, dict[bytes, bytes]]]:
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
        return [entry for _, entries in reply for entry in entries]

    async def close(self) -> None:
        """Close the connections; the next read opens new ones."""
        client, self._waiting = self._waiting, None
        if client is not None:
            await client.aclose()


def webhook_key(job_id: str) -> str:
    """Where the URL is kept that is to be told of the job's end."""
    return f"rnnrbm:webhook:{job_id}"


def attempts_key(job_id: str) -> str:
    """Where it is counted how often that was tried."""
    return f"rnnrbm:attempts:{job_id}"


def _stream(job_id: str) -> str:
    return f"rnnrbm:events:{job_id}"


def _event(entry: bytes, fields: dict[bytes, bytes]) -> Event:
    return Event.model_validate(
        {"id": entry.decode(), "event": fields[b"event"].decode(), "data": json.loads(fields[b"data"])}
    )
