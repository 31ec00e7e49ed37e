"""Webhooks of jobs that have ended, sent to a real receiver."""

import asyncio
import json
import socket
from base64 import b64encode
from collections.abc import Sequence

import pytest
from redis import Redis

from tests.e2e.receiver import Receiver, receiving
from tests.worker.conftest import eventually
from worker.addresses import AddressError, check_url, resolve
from worker.broker import Broker
from worker.protocol import JobView, Kind
from worker.submission import Terms
from worker.webhooks import LEASE_SECONDS, Courier

SECRET = f"whsec_{b64encode(bytes(range(24))).decode()}"


def ended_job(broker: Broker, url: str) -> JobView:
    """A job that was cancelled before it ran."""
    job = broker.submit(Kind.GENERATE, {}, max_queued=10, terms=Terms(webhook=url))
    assert broker.mailbox.take() is None
    return broker.cancel(job.id)


def deliver(
    broker: Broker, receiver: Receiver, count: int, *, waits: Sequence[float] = (0, 0, 0), private: bool = True
) -> None:
    """Run a courier until so many webhooks have come, and for a while longer."""

    async def run() -> None:
        courier = asyncio.create_task(Courier(broker, SECRET, private=private, waits=waits).run())
        await asyncio.to_thread(eventually, lambda: len(receiver.received) >= count, 15)
        await asyncio.sleep(1.5)
        courier.cancel()
        await asyncio.gather(courier, return_exceptions=True)

    asyncio.run(run())


def test_a_webhook_is_sent_until_it_is_heard_and_then_forgotten(broker: Broker, server_redis: Redis) -> None:
    with receiving(500, 302, 200) as receiver:
        job = ended_job(broker, receiver.url)
        deliver(broker, receiver, 3)
    assert len(receiver.received) == 3
    assert json.loads(receiver.received[0][1])["data"] == job.model_dump(mode="json")
    assert not server_redis.keys("rnnrbm:webhook*")
    assert not server_redis.keys("rnnrbm:attempts*")


@pytest.mark.parametrize(("status", "attempts"), [(410, 1), (503, 4)])
def test_a_receiver_that_does_not_want_it_is_given_up(
    broker: Broker, server_redis: Redis, status: int, attempts: int
) -> None:
    with receiving(status) as receiver:
        ended_job(broker, receiver.url)
        deliver(broker, receiver, attempts)
    assert len(receiver.received) == attempts
    assert not server_redis.keys("rnnrbm:webhook*")


def test_what_a_courier_that_died_had_taken_is_sent_by_another(broker: Broker, server_redis: Redis) -> None:
    with receiving(200) as receiver:
        job = ended_job(broker, receiver.url)
        assert broker.mailbox.take() == job.id
        assert broker.mailbox.take() is None
        server_redis.zincrby("rnnrbm:webhooks", -LEASE_SECONDS, job.id)  # as if that time had passed
        deliver(broker, receiver, 1)
    assert len(receiver.received) == 1


def test_nothing_is_sent_to_this_machine_even_if_it_was_accepted_before(broker: Broker) -> None:
    with receiving(200) as receiver:
        ended_job(broker, receiver.url)
        deliver(broker, receiver, 0, private=False)
    assert not receiver.received


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
        "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::10.0.0.1", "2130706433", "0x7f.1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(AddressError):
        resolve(host, 443, private=False)


def test_public_addresses_are_resolved() -> None:
    assert resolve("93.184.215.14", 443, private=False) == "93.184.215.14"
    assert resolve("127.0.0.1", 80, private=True) == "127.0.0.1"


def test_one_private_address_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 443)) for host in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(AddressError):
        resolve("two-faced.example", 443, private=False)


@pytest.mark.parametrize("url", ["http://93.184.215.14/", "ftp://93.184.215.14/", "https://user:word@93.184.215.14/"])
def test_urls_that_are_not_safe_are_refused(url: str) -> None:
    with pytest.raises(AddressError):
        check_url(url, private=False)
