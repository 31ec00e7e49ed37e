"""API keys: who sends a request, and whether that is enough.

A key is 256 random bits, so one round of SHA-256 keeps it as safe as a slow hash would, which is for passwords that can
be guessed and would take tens of milliseconds of each request. Where no keys are configured nobody needs one.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import Scope

from service.problems import ProblemError

REALM = 'Bearer realm="rnnrbm"'
ADDRESSES_KEPT = 1024
NETWORK_BITS = 64
"""Of an IPv6 address: the rest is for whoever owns the network to choose."""


@dataclass(frozen=True)
class Caller:
    """Who sends a request: `id` tells callers apart, by their key or else by their address."""

    id: str
    has_key: bool
    is_local: bool


def identify(scope: Scope, hashes: Sequence[str]) -> Caller:
    """The caller of a request; a key counts if its hash is one of `hashes`."""
    address = scope["client"][0] if scope.get("client") else ""
    is_local = is_loopback(address)
    if hashes and (known := _known_key(Headers(scope=scope).get("authorization", ""), hashes)):
        return Caller(f"key {known}", has_key=True, is_local=is_local)
    return Caller(f"address {_network(address)}", has_key=False, is_local=is_local)


def _known_key(authorization: str, hashes: Sequence[str]) -> str | None:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    digest = hashlib.sha256(key.strip().encode()).hexdigest()
    matching = [known for known in hashes if hmac.compare_digest(known, digest)]  # all of them, to take equal time
    return matching[0] if matching else None


@lru_cache(ADDRESSES_KEPT)
def is_loopback(host: str) -> bool:
    """Whether only this machine can be meant; an empty one is the peer of a Unix socket."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("", "localhost")


@lru_cache(ADDRESSES_KEPT)
def _network(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, NETWORK_BITS), strict=False)) if isinstance(address, IPv6Address) else host


async def caller_of(request: Request) -> Caller:
    """The caller, as service.limits has found it."""
    caller: Caller = request.state.caller
    return caller


CallerDep = Annotated[Caller, Depends(caller_of)]
_bearer = HTTPBearer(auto_error=False, description="a key that `rnnrbm key` made")


async def require_key(
    caller: CallerDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    """Let only callers with a key pass.

    Raises:
        ProblemError: 401.
    """
    if caller.has_key:
        return
    if credentials is None:
        raise ProblemError(401, "this needs a key: send Authorization: Bearer KEY", {"WWW-Authenticate": REALM})
    raise ProblemError(401, "the key is not known here", {"WWW-Authenticate": f'{REALM}, error="invalid_token"'})
