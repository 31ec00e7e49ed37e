"""What routes depend on: settings, broker and store, made once by the application.

The functions are coroutines, as FastAPI calls plain functions in a thread of their own.
"""

from typing import Annotated

from fastapi import Depends, Query, Request

from worker.broker import Broker
from worker.settings import Settings
from worker.store import ArtefactStore


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _broker(request: Request) -> Broker:
    broker: Broker = request.app.state.broker
    return broker


async def _store(request: Request) -> ArtefactStore:
    store: ArtefactStore = request.app.state.store
    return store


SettingsDep = Annotated[Settings, Depends(_settings)]
BrokerDep = Annotated[Broker, Depends(_broker)]
StoreDep = Annotated[ArtefactStore, Depends(_store)]
After = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,200}$", description="cursor: `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=200)]
