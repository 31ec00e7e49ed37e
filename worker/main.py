"""The process of one worker."""

import logging

from worker.broker import Broker
from worker.errors import StartError
from worker.events import redis_errors
from worker.protocol import Kind
from worker.runtime import load, prepare
from worker.settings import Settings
from worker.warm import WarmWorker

PATIENT = 12  # tries, about ten seconds: a Redis that restarts must not cost the loaded models


def run(settings: Settings, kind: Kind) -> None:
    """Perform jobs of one kind until SIGTERM or SIGINT.

    Raises:
        StartError: there is no Redis URL, or the device asked for is not there.
        BrokerError: Redis could not be reached for a while.
    """
    configure_logging(settings.log_level)
    if not settings.redis_url:
        raise StartError("a worker needs RNNRBM_REDIS_URL; `rnnrbm serve` starts a server and sets it")
    runtime = prepare(kind, settings)
    load(kind)
    broker = Broker(settings.redis_url, retries=PATIENT)
    with redis_errors():
        WarmWorker(broker, kind, device=runtime.device, kernel=runtime.kernel).work(logging_level="WARNING")


def configure_logging(level: str) -> None:
    """Log to stderr, one line an event; RQ, which logs six lines a job, only its warnings."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("rq").setLevel(logging.WARNING)
