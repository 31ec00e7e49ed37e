"""Which hosts a webhook may be sent to: a stranger's URL must not reach what only this machine can.

A name is looked up once, what it stands for is checked, and that is what is connected to: a name that is looked up
again may stand for something else by then.
"""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import httpcore

NAT64 = IPv6Network("64:ff9b::/96")
PORTS = {"http": 80, "https": 443}


class AddressError(Exception):
    """A URL leads where nothing is sent to; its text says why."""


def check_url(url: str, *, private: bool) -> None:
    """Return if something may be sent to the URL; with `private`, to any host, and over plain HTTP.

    Raises:
        AddressError: it may not, or its host is not known.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise AddressError("it must start with https://")
    if parts.username or parts.password:
        raise AddressError("it must not hold a password")
    resolve(parts.hostname or "", parts.port or PORTS[parts.scheme], private=private)


def resolve(host: str, port: int, *, private: bool) -> str:
    """The address to connect to.

    Raises:
        AddressError: there is none, or one of them is not public.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise AddressError(f"there is no host {host!r}") from error
    if not private and not all(_is_public(address.partition("%")[0]) for address in found):
        raise AddressError(f"{host!r} is not a public address (RNNRBM_WEBHOOK_PRIVATE=1 allows it)")
    return found[0]


def _is_public(text: str) -> bool:
    address = ip_address(text)
    return all(part.is_global and not part.is_multicast for part in (address, *_embedded(address)))


def _embedded(address: IPv4Address | IPv6Address) -> Iterable[IPv4Address]:
    """IPv4 addresses that an IPv6 address leads to."""
    if not isinstance(address, IPv6Address):
        return []
    nat64 = IPv4Address(address.packed[-4:]) if address in NAT64 else None
    candidates = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()), nat64)
    return [candidate for candidate in candidates if candidate is not None]


class GuardedBackend(httpcore.AnyIOBackend):
    """Connects to public addresses only, or with `private` to any."""

    def __init__(self, *, private: bool) -> None:
        self._private = private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the host up, check it, and connect to what was checked."""
        address = await asyncio.to_thread(resolve, host, port, private=self._private)
        return await super().connect_tcp(address, port, timeout, local_address, socket_options)
