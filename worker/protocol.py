"""What service and workers say to each other: queue and job names, parameters, states. Free of torch.

Everything here crosses Redis as JSON.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, WithJsonSchema, model_validator
from ulid import ULID

from worker.errors import ParameterError

DEFAULT_MODEL = "nottingham"
SEEDS = 2**53
"""How many there are: what any JSON parser keeps exactly."""
SLOWEST, FASTEST = 10, 480
"""Beats per minute."""
MOST_SECONDS = 7 * 24 * 60 * 60
"""Of a deadline: for as long jobs are remembered."""


class Kind(StrEnum):
    """Kinds of job."""

    TRAIN = "train"
    GENERATE = "generate"


QUEUES = {Kind.TRAIN: "train", Kind.GENERATE: "generate"}
FUNCTIONS = {Kind.TRAIN: "worker.training.train", Kind.GENERATE: "worker.jobs.generate"}


class Status(StrEnum):
    """States of a job as its user sees them."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job will change no more."""
        return self not in (Status.QUEUED, Status.RUNNING)


class Problem(BaseModel):
    """Why a job failed: `type` names the error class, `detail` says it in words."""

    type: str
    detail: str


class Progress(BaseModel):
    """How far a job is: `step` of `total` (epochs or frames) and the latest metrics."""

    step: int
    total: int
    metrics: dict[str, float] = {}


class Outcome(BaseModel):
    """What a job function returns."""

    status: Literal[Status.SUCCEEDED, Status.FAILED, Status.CANCELLED]
    result: dict[str, Any] = {}
    problem: Problem | None = None


class JobView(BaseModel):
    """A job as the API shows it."""

    id: str
    kind: Kind
    status: Status
    progress: Progress | None = None
    result: dict[str, Any] | None = None
    problem: Problem | None = None
    seed: int | None = None
    deadline: datetime | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Event(BaseModel):
    """One entry of a job's event stream; `id` is the stream's own, for Last-Event-ID."""

    id: str
    event: Literal["queued", "started", "progress", "end"]
    data: dict[str, Any]


class WorkerView(BaseModel):
    """A live worker process, from its heartbeat."""

    name: str
    queue: str
    pid: int
    device: str
    kernel: str


class JobOptions(BaseModel):
    """What every request for a job may say of it."""

    deadline: float | None = Field(
        None, gt=0, le=MOST_SECONDS, description="seconds; a job that is not done by then is cancelled"
    )
    webhook: HttpUrl | None = Field(
        None, description="URL that is told of the job's end, signed as Standard Webhooks; it must be public"
    )


class GenerateParams(JobOptions):
    """Body of POST /generate and parameters of a generate job."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(DEFAULT_MODEL, min_length=1, max_length=200, description="id or name of a model")
    length: int = Field(200, ge=1, description="time steps of the piece")
    n: int = Field(1, ge=1, description="pieces, of seeds that follow each other")
    seed: int | None = Field(None, ge=0, lt=SEEDS, description="same model, seed and options: the same bytes")
    temperature: float = Field(1.0, ge=0.05, le=20.0, description="divides every activation; below 1 is safer")
    gibbs_steps: int = Field(25, ge=1, le=5000, description="steps of the Gibbs chain of each frame")
    tempo: float | None = Field(None, ge=SLOWEST, le=FASTEST, description="beats per minute of the piece")


PitchBound = Annotated[int, Field(ge=0, le=128)]
_PITCH_RANGE = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": 128},
    "minItems": 2,
    "maxItems": 2,
}
# described without prefixItems, which few generators of clients understand
PitchRange = Annotated[tuple[PitchBound, PitchBound], WithJsonSchema(_PITCH_RANGE)]


class TrainParams(JobOptions):
    """The `config` of POST /train and, with a corpus, parameters of a train job. Absent: the recipe's."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,99}$")
    recipe: Literal["tutorial", "fast"] = "fast"
    epochs: int | None = Field(None, ge=1, le=10_000)
    n_hidden: int | None = Field(None, ge=1, le=2048)
    n_hidden_recurrent: int | None = Field(None, ge=1, le=2048)
    lr: float | None = Field(None, gt=0, le=10)
    batch_size: int | None = Field(None, ge=2, le=10_000, description="frames of a subsequence, as in the tutorial")
    gibbs_steps: int | None = Field(None, ge=1, le=1000, description="k of CD-k")
    dt: float | None = Field(None, ge=0.01, le=10, description="seconds of a frame")
    steps_per_beat: int | None = Field(None, ge=1, le=48)
    pitch_range: PitchRange | None = Field(None, description="[low, high): MIDI notes")
    seed: int | None = Field(None, ge=0, lt=SEEDS)

    @model_validator(mode="after")
    def _consistent(self) -> "TrainParams":
        if self.dt is not None and self.steps_per_beat is not None:
            raise ValueError("give dt (seconds) or steps_per_beat, not both")
        if self.pitch_range is not None and self.pitch_range[0] >= self.pitch_range[1]:
            raise ValueError("pitch_range is [low, high) with low < high")
        return self


class GenerateJob(BaseModel):
    """A generate job with every choice made, so that a second run gives the same piece."""

    model: str
    model_name: str
    length: int
    n: int = 1
    seed: int
    temperature: float
    gibbs_steps: int
    tempo: float
    step_seconds: float

    @property
    def seeds(self) -> list[int]:
        """The seed of each piece."""
        return [(self.seed + i) % SEEDS for i in range(self.n)]


def complete(params: GenerateParams, model: dict[str, Any], seed: int) -> GenerateJob:
    """The job for a stored model's record, with that seed unless the parameters have one.

    Raises:
        ParameterError: the model cannot do what is asked.
    """
    config = model["config"]
    if config["dt"] is not None and params.tempo is not None:
        raise ParameterError(
            "tempo", f"model {model['name']!r} counts time in steps of {config['dt']} s, so it has no tempo to set"
        )
    tempo = min(max(params.tempo or model["corpus"]["tempo"], SLOWEST), FASTEST)
    return GenerateJob(
        model=model["id"],
        model_name=model["name"],
        length=params.length,
        n=params.n,
        seed=seed if params.seed is None else params.seed,
        temperature=params.temperature,
        gibbs_steps=params.gibbs_steps,
        tempo=tempo,
        step_seconds=config["dt"] or 60.0 / (tempo * config["steps_per_beat"]),
    )


class TrainJob(TrainParams):
    """A train job: the parameters and the corpus they apply to."""

    corpus: str


def new_id() -> str:
    """An opaque id that sorts by time of creation."""
    return str(ULID())
