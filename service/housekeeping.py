"""What the API does beside answering: it ends overdue jobs and sends webhooks."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from worker.broker import Broker
from worker.errors import BrokerError
from worker.settings import Settings
from worker.webhooks import Courier

LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


@asynccontextmanager
async def housekeeping(broker: Broker, settings: Settings) -> AsyncIterator[None]:
    """Keep house for as long as the context lasts."""
    tasks = [asyncio.create_task(_end_overdue_jobs(broker))]
    if secret := settings.webhook_secret.get_secret_value():
        tasks.append(asyncio.create_task(Courier(broker, secret, private=settings.webhook_private).run()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _end_overdue_jobs(broker: Broker) -> None:
    while True:
        try:
            await asyncio.to_thread(broker.cancel_overdue)
        except BrokerError as error:
            logger.warning("deadlines have to wait: %s", error)
        await asyncio.sleep(LOOK_SECONDS)
