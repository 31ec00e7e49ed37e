"""What a worker's process does once its settings are known."""

import gc

from worker.broker import Broker
from worker.events import redis_errors
from worker.protocol import Kind
from worker.runtime import load, prepare
from worker.settings import Settings
from worker.warm import WarmWorker

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
        worker = WarmWorker(broker, kind, place=runtime.place, kernel=runtime.kernel)
        gc.freeze()  # no collection has to look through what is loaded
        gc.enable()
        worker.work(logging_level="WARNING")
