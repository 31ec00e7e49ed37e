"""Bodies of the API's answers."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from service.problems import ProblemDetails
from worker.protocol import JobView, KeptRegion, PitchRange
from worker.uploads import Refusal

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next` is the cursor of the page that follows, or null."""

    items: list[Item]
    next: str | None


class CorpusView(BaseModel):
    """A corpus: uploaded MIDI files that can be trained on."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str | None = None
    description: str | None = None
    digest: str
    files: int
    usable: int
    frames: int
    refused: list[Refusal]
    created_at: datetime


class CorpusSummary(BaseModel):
    """What became of the files that a job works on."""

    id: str
    files: int
    usable: int
    refused: list[Refusal]


class CorpusJobView(JobView):
    """A job on a corpus, as it was sent, with the files that cannot be used."""

    corpus: CorpusSummary
    refused: list[Refusal]


class Spread(BaseModel):
    """Of one value for each piece."""

    least: float
    median: float
    most: float


class CorpusStatistics(BaseModel):
    """What the pieces of a corpus are like."""

    pitches: list[int] = Field(description="notes of each MIDI note, 0 to 127")
    polyphony: list[int] = Field(description="half beats in which 0, 1, … notes sound; the last: so many or more")
    keys: dict[str, int] = Field(description="pieces in each key, by Krumhansl and Kessler's profiles")
    seconds: Spread
    seconds_edges: list[int] = Field(description="where each bin of `seconds_counts` begins; the last has no end")
    seconds_counts: list[int] = Field(description="pieces of each length")
    tempo: Spread = Field(description="beats a minute at the first note")


class CorpusDetail(CorpusView):
    """A corpus with its statistics."""

    statistics: CorpusStatistics


class CorpusFile(BaseModel):
    """What became of one uploaded file; a `reason` says why it was refused, and the rest is null then."""

    file: str
    reason: str | None = None
    key: str | None = Field(None, description="by Krumhansl and Kessler's profiles, such as `Eb minor`")
    tempo: float | None = Field(None, description="beats a minute at the first note")
    seconds: float | None = None
    beats: float | None = None
    notes: int | None = None


class ModelSummary(BaseModel):
    """A model in a list."""

    id: str
    name: str
    description: str | None = None
    created_at: datetime
    recipe: str
    config: dict[str, Any]
    size: int


class ModelView(ModelSummary):
    """A model with how it was made and what it reached."""

    model_config = ConfigDict(extra="allow")

    training: dict[str, Any]
    corpus: dict[str, Any]
    metrics: dict[str, float]
    init_from: str | None = None
    sha256: str


class PieceView(BaseModel):
    """One piece of a generation."""

    id: str
    seed: int
    notes: int
    links: dict[str, str]


class GenerationView(BaseModel):
    """What a generate job made: a piece, or several of seeds that follow each other."""

    id: str
    model: str
    model_name: str
    n: int
    seed: int
    length: int
    dt: float | None
    steps_per_beat: int | None
    tempo: float
    temperature: float
    gibbs_steps: int
    sampler: str = "tutorial"
    transpose: int = 0
    key: str | None = None
    program: int = 0
    pitch_range: PitchRange
    primer_length: int = Field(0, description="time steps, the first ones, that are the primer's")
    keep: list[KeptRegion] | None = Field(None, description="what is as in the source; null where there was none")
    notes: int
    created_at: datetime
    links: dict[str, str]


class GenerationDetail(GenerationView):
    """A generation with its pieces and, if there is only one, its notes."""

    pieces: list[PieceView]
    frames: list[list[int]] | None = Field(description="for each step the sounding MIDI notes")
    log_likelihood: float | None = Field(description="under the model, in nats per frame; a rough estimate")


class Health(BaseModel):
    """Whether the process is alive."""

    status: str


class Readiness(Health):
    """Whether the service can do its work, and who does it."""

    state: Literal["ready", "busy"] = Field(description="busy: pieces wait for a worker")
    redis: bool
    workers: list[dict[str, Any]]


class NotReady(ProblemDetails):
    """Why the service cannot do its work."""

    state: Literal["starting", "failed"]
    redis: bool
    workers: list[dict[str, Any]]
