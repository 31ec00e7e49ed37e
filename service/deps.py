"""What routes depend on: settings, broker and store, made once by the application.

The functions are coroutines, as FastAPI calls plain functions in a thread of their own.
"""

from typing import Annotated

from fastapi import Depends, Path, Query, Request

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
ModelReference = Annotated[
    str,
    Path(
        description="id or name of a model; `default` is the one that plays where a request names none",
        examples=["nottingham"],
    ),
]
JobId = Annotated[str, Path(description="id of a job", examples=["01M87VP90SSX7MD4D6A2DGDW0V"])]
CorpusId = Annotated[str, Path(description="id of a corpus", examples=["01M87VP8Z3QBY8M9EE4ZPRSQBN"])]
GenerationId = Annotated[
    str, Path(description="id of a generation, or ID-i of its piece i", examples=["01M87TQ3HT4BDD0YR4KSJ16PTN"])
]
Limit = Annotated[int, Query(ge=1, le=200)]
