"""How many requests a caller may send, as IETF's RateLimit header fields say it (draft-ietf-httpapi-ratelimit-headers).

They are counted in the API's memory: a count in Redis would cost each request another round trip, and what has to be
bounded over all processes is bounded there already, the jobs that wait. Several APIs count each for itself.
"""

import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.auth import Caller, identify
from service.problems import problem
from worker.settings import Settings

DEFAULT_RATE = 1200
"""Requests a minute of a caller, where the settings say nothing."""
PROBES = ("/healthz", "/readyz")


class RateLimits:
    """Middleware that finds out who calls, and answers 429 to those who call too often.

    By default the machine's own user, on loopback and without keys, is not limited: he would limit himself.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hashes = settings.key_hashes
        self._spares_local = settings.rate_limit is None and not self._hashes
        rate = DEFAULT_RATE if settings.rate_limit is None else settings.rate_limit
        self._limit = RateLimitItemPerMinute(rate) if rate else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or 429."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = identify(scope, self._hashes)
        scope.setdefault("state", {})["caller"] = caller
        if self._limit is None or scope["path"] in PROBES or (caller.is_local and self._spares_local):
            await self._app(scope, receive, send)
        else:
            await self._counted(self._limit, caller, scope, receive, send)

    async def _counted(
        self, limit: RateLimitItemPerMinute, caller: Caller, scope: Scope, receive: Receive, send: Send
    ) -> None:
        allowed = await self._limiter.hit(limit, caller.id)
        reset, left = await self._limiter.get_window_stats(limit, caller.id)
        seconds = max(1, math.ceil(reset - time.time()))
        fields = {
            "RateLimit-Policy": f'"requests";q={limit.amount};w={limit.get_expiry()}',
            "RateLimit": f'"requests";r={left};t={seconds}',
        }

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(fields)
            await send(message)

        if allowed:
            await self._app(scope, receive, send_with_fields)
            return
        detail = f"more than {limit.amount} requests in a minute; try again in {seconds} s"
        await problem(429, detail, {"Retry-After": str(seconds)})(scope, receive, send_with_fields)
