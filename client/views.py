"""What the service answers, as far as the client looks at it; members that it does not know stay in `model_extra`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """Base of all bodies: a newer service may say more."""

    model_config = ConfigDict(extra="allow")


class Refusal(View):
    """A file that cannot be used, and why."""

    file: str
    reason: str


class Progress(View):
    """How far a job is: `step` of `total` (epochs or frames) and the latest metrics."""

    step: int
    total: int
    metrics: dict[str, float] = {}


class Problem(View):
    """Why a job failed: `type` names the error class, `detail` says it in words."""

    type: str
    detail: str


class Job(View):
    """A job; `refused` are the files of the upload that made it which cannot be used."""

    id: str
    kind: str
    status: str
    progress: Progress | None = None
    result: dict[str, Any] | None = None
    problem: Problem | None = None
    metadata: dict[str, str] = {}
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    refused: list[Refusal] = []


class Event(View):
    """An entry of a job's event stream: `queued`, `started`, `progress` or `end`, whose data is the job."""

    id: str
    event: str
    data: dict[str, Any]


class Model(View):
    """A model; in a list without `training`, `corpus` and `metrics`."""

    id: str
    name: str
    created_at: datetime
    recipe: str
    config: dict[str, Any]
    training: dict[str, Any] | None = None
    corpus: dict[str, Any] | None = None
    metrics: dict[str, float] | None = None


class Corpus(View):
    """MIDI files that were uploaded and can be trained on."""

    id: str
    digest: str
    files: int
    usable: int
    frames: int
    refused: list[Refusal]
    created_at: datetime


@dataclass(frozen=True)
class Piece:
    """What a generation made, in the form that was asked for; the same model, seed and options give it again."""

    id: str
    seed: int
    media_type: str
    data: bytes

    def save(self, path: Path | str) -> None:
        """Write it to a file. Raises OSError."""
        Path(path).write_bytes(self.data)
