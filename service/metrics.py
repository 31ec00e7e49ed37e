"""Figures for Prometheus: this process's requests, and what Redis knows of queues, jobs and workers."""

import time
from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import METHODS
from worker.broker import Broker
from worker.errors import BrokerError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
OTHER = "other"
"""Instead of what strangers make up: each label's values must be few."""


class RequestMetrics:
    """Middleware that counts requests and takes the time until their answers begin; event streams never end."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        labels = ("method", "route")
        self._requests = Counter("rnnrbm_requests", "HTTP requests", (*labels, "status"), registry=registry)
        self._seconds = Histogram(
            "rnnrbm_request_seconds", "Time until the answer begins", labels, buckets=SECONDS, registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""
        started = time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else OTHER
                route = getattr(scope.get("route"), "path", OTHER)
                self._requests.labels(method, route, message["status"]).inc()
                self._seconds.labels(method, route).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, send_counted if scope["type"] == "http" else send)


class QueueMetrics(Collector):
    """Asks Redis whenever somebody asks for figures; without it the figures are missing."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def collect(self) -> Iterator[Metric]:
        """What Redis knows now."""
        try:
            found = (self._waiting(), self._ended(), self._workers())
        except BrokerError:
            yield GaugeMetricFamily("rnnrbm_redis_up", "Whether Redis answers", 0)
            return
        yield GaugeMetricFamily("rnnrbm_redis_up", "Whether Redis answers", 1)
        yield from found

    def _waiting(self) -> Metric:
        family = GaugeMetricFamily("rnnrbm_jobs_waiting", "Jobs that wait for a worker", labels=("kind",))
        for kind, count in self._broker.waiting().items():
            family.add_metric((str(kind),), count)
        return family

    def _ended(self) -> Metric:
        family = CounterMetricFamily("rnnrbm_jobs_ended", "Jobs by how they ended", labels=("kind", "status"))
        for labels, count in sorted(self._broker.outcomes().items()):
            family.add_metric(labels, count)
        return family

    def _workers(self) -> Metric:
        family = GaugeMetricFamily("rnnrbm_workers", "Workers whose heart beats", labels=("kind", "device", "kernel"))
        alive = Tally((worker.queue, worker.device, worker.kernel) for worker in self._broker.workers())
        for labels, count in sorted(alive.items()):
            family.add_metric(labels, count)
        return family
