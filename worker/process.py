"""What a worker's process does once its settings are known."""

import gc
import logging
import os

from worker.broker import Broker
from worker.events import redis_errors
from worker.protocol import Kind
from worker.runtime import Runtime, load, prepare
from worker.settings import Settings
from worker.together import MOST_JOBS, alike
from worker.warm import WarmWorker

DEVICE_LOST = 3
"""Exit status of a worker that lost its device."""
PATIENT = 12  # tries, about ten seconds: a Redis that restarts must not cost the loaded models


def work(settings: Settings, kind: Kind) -> None:
    """Load what jobs of one kind need and perform them until SIGTERM or SIGINT.

    Raises:
        StartError: the device asked for is not there.
        BrokerError: Redis could not be reached for a while.
    """
    runtime = prepare(kind, settings)
    load(kind)
    broker = Broker(settings.redis_url, retries=PATIENT)
    with redis_errors():
        perform(runtime, broker, kind)


def perform(runtime: Runtime, broker: Broker, kind: Kind) -> None:
    """Perform jobs of one kind until SIGTERM or SIGINT. Where the device is lost the process ends at once."""
    together = alike if runtime.accelerator is not None and kind is Kind.GENERATE else None
    worker = WarmWorker(broker, kind, place=runtime.place, kernel=runtime.kernel, alike=together, most_held=MOST_JOBS)
    gc.freeze()  # no collection has to look through what is loaded
    gc.enable()
    worker.work(logging_level="WARNING")
    if worker.device_lost:
        logging.shutdown()
        os._exit(DEVICE_LOST)  # what is left of CUDA could keep the process from ending
