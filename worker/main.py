"""The start of a worker's process."""

import gc
import logging

from worker.errors import StartError
from worker.protocol import Kind
from worker.settings import Settings


def run(settings: Settings, kind: Kind) -> None:
    """Perform jobs of one kind until SIGTERM or SIGINT.

    Raises:
        StartError: there is no Redis URL, or the device asked for is not there.
        BrokerError: Redis could not be reached for a while.
    """
    configure_logging(settings.log_level)
    if not settings.redis_url:
        raise StartError("a worker needs RNNRBM_REDIS_URL; `rnnrbm serve` starts a server and sets it")
    gc.disable()  # until work begins: what is loaded stays, and to look through it time and again delays the start
    try:
        from worker.process import work  # noqa: PLC0415 (the heavy part of what is loaded)

        work(settings, kind)
    finally:
        gc.enable()


def configure_logging(level: str) -> None:
    """Log to stderr, one line an event; RQ, which logs six lines a job, only its warnings."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("rq").setLevel(logging.WARNING)
