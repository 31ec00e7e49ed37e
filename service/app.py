"""The application: settings, broker and store for as long as it lives, and the routes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from service import openapi, problems
from service.auth import is_loopback, require_key
from service.described import PROBLEM
from service.housekeeping import housekeeping
from service.limits import RateLimits
from service.metrics import QueueMetrics, RequestMetrics
from service.routes import corpora, generate, generations, health, jobs, metrics, models, train
from worker.broker import Broker
from worker.settings import Settings
from worker.store import ArtefactStore

UPLOADS_AT_ONCE = 2
"""Each may unpack to max_unpacked_bytes of memory."""
DESCRIPTION = "Train RNN-RBMs on MIDI files and get polyphonic pieces back."

logger = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service for those settings, by default the environment's."""
    settings = settings or Settings()
    registry = CollectorRegistry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.broker = broker = Broker(settings.redis_url)
        registry.register(QueueMetrics(broker))
        async with housekeeping(broker, settings):
            yield
        await broker.close()

    app = FastAPI(
        title="rnnrbm",
        version=version("rnnrbm"),
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=dict.fromkeys(("default", 422), PROBLEM),
    )
    app.state.settings = settings
    app.state.uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
    app.state.store = ArtefactStore(settings.data)
    app.state.registry = registry
    app.state.life = health.Life()
    # not FastAPI's max_body_size, which lies outside of every middleware and answers in plain text
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_upload_bytes)
    problems.install(app)
    app.add_middleware(RateLimits, settings=settings)
    app.add_middleware(RequestMetrics, registry=registry)
    _include_routes(app, settings)
    openapi.install(app, settings, app.state.store)
    return app


def _include_routes(app: FastAPI, settings: Settings) -> None:
    """What everybody may see needs no key even where keys are configured: probes, /docs and /openapi.json."""
    keys = [Depends(require_key)] if settings.key_hashes else []
    for module in (generate, train, jobs, models, corpora, generations, metrics):
        app.include_router(module.router, dependencies=keys)
    app.include_router(health.router)
    if not keys and not is_loopback(settings.host):
        logger.warning("whoever reaches %s:%d may use it: RNNRBM_API_KEYS is empty", settings.host, settings.port)
