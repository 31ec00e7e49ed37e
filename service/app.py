"""The application: settings, broker and store for as long as it lives, and the routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from service import problems
from service.routes import corpora, generate, generations, health, jobs, models, train
from worker.broker import Broker
from worker.settings import Settings
from worker.store import ArtefactStore

UPLOADS_AT_ONCE = 2
"""Each may unpack to max_unpacked_bytes of memory."""
DESCRIPTION = "Train RNN-RBMs on MIDI files and get polyphonic pieces back."


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service for those settings, by default the environment's."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.broker = Broker(settings.redis_url)
        yield
        await app.state.broker.close()

    app = FastAPI(
        title="rnnrbm",
        version=version("rnnrbm"),
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=dict.fromkeys(("default", 422), problems.DESCRIPTION),
    )
    app.state.settings = settings
    app.state.uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
    app.state.store = ArtefactStore(settings.data)
    # not FastAPI's max_body_size, which lies outside of every middleware and answers in plain text
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_upload_bytes)
    problems.install(app)
    for module in (generate, train, jobs, models, corpora, generations, health):
        app.include_router(module.router)
    return app
