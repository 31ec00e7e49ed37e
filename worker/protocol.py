"""What service and workers say to each other: queue and job names, parameters, states. Free of torch.

Everything here crosses Redis as JSON.
"""

from datetime import datetime
from enum import StrEnum
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, JsonValue, WithJsonSchema, model_validator
from ulid import ULID

from model.drawing import BEST_STEPS, TUTORIAL_STEPS, Way, steps_of
from model.tonality import semitones_from_common
from worker.errors import ParameterError
from worker.options import RecipeOptions

DEFAULT_MODEL = "default"
"""Whatever model is the default: see PUT /models/default."""
DEFAULT_LENGTH = 200
BEATS_OF_A_BAR = 4
SEEDS = 2**53
"""How many there are: what any JSON parser keeps exactly."""
SLOWEST, FASTEST = 10, 480
"""Beats per minute."""
MOST_SECONDS = 7 * 24 * 60 * 60
"""Of a deadline: for as long jobs are remembered."""
SCORED_FRAMES = 20_000
"""Frames that an evaluation scores where nobody says how many: about a minute of a core, and a standard error of some
hundredths of a nat."""
MOST_ANNEALING, MOST_ANNEALING_A_FRAME = 10**9, 10**7
"""Temperatures times chains of one evaluation, over all frames (a quarter of an hour of a core with 150 hidden units)
and of each (as nobody can stop it within one)."""


class Kind(StrEnum):
    """Kinds of job."""

    TRAIN = "train"
    GENERATE = "generate"
    EVALUATE = "evaluate"


QUEUES = {kind: str(kind) for kind in Kind}
FUNCTIONS = {
    Kind.TRAIN: "worker.training.train",
    Kind.GENERATE: "worker.jobs.generate",
    Kind.EVALUATE: "worker.evaluation.evaluate",
}


MetadataKey = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^:]*$")]
_METADATA = {
    "type": "object",
    "maxProperties": 16,
    "propertyNames": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^:]*$"},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
# described by hand, as pydantic's schema allows anything under a key that is not allowed
Metadata = Annotated[
    dict[MetadataKey, Annotated[str, Field(max_length=512)]], Field(max_length=16), WithJsonSchema(_METADATA)
]
"""What a user notes on a job. A key has no colon, so that KEY:VALUE can be looked for."""


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
    metadata: dict[str, str] = {}
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
    """`cpu`, or `cuda:N` with N counted among the GPUs of its machine."""
    device_name: str = ""
    """Of the processor or the card."""
    kernel: str


PitchBound = Annotated[int, Field(ge=0, le=128)]
_PITCH_RANGE = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": 128},
    "minItems": 2,
    "maxItems": 2,
}
# described without prefixItems, which few generators of clients understand
PitchRange = Annotated[tuple[PitchBound, PitchBound], WithJsonSchema(_PITCH_RANGE)]


def _check_pitch_range(pitch_range: tuple[int, int] | None) -> None:
    if pitch_range is not None and pitch_range[0] >= pitch_range[1]:
        raise ValueError("pitch_range is [low, high) with low < high")


Tonic = Literal["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
Step = Annotated[int, Field(ge=0)]
_STEP_RANGE = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2}
StepRange = Annotated[tuple[Step, Step], WithJsonSchema(_STEP_RANGE)]


class KeptRegion(BaseModel):
    """A part of a source that stays; a member that is absent leaves out nothing."""

    model_config = ConfigDict(extra="forbid")

    pitches: PitchRange | None = Field(None, description="[low, high): MIDI notes")
    steps: StepRange | None = Field(None, description="[first, end): time steps, the first is 0")
    tracks: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, min_length=1, max_length=1000, description="tracks with notes, numbered from 0; what they sound stays"
    )


def _at_most_one_of(*names: str) -> dict[str, JsonValue]:
    """JSON Schema for it, of members that are numbers or null."""
    number: dict[str, JsonValue] = {"type": "number"}
    pairs: list[JsonValue] = [
        {"required": list(pair), "properties": dict.fromkeys(pair, number)} for pair in combinations(names, 2)
    ]
    return {"not": {"anyOf": pairs}}


class JobOptions(BaseModel):
    """What every request for a job may say of it."""

    deadline: float | None = Field(
        None, gt=0, le=MOST_SECONDS, description="seconds; a job that is not done by then is cancelled"
    )
    webhook: HttpUrl | None = Field(
        None, description="URL that is told of the job's end, signed as Standard Webhooks; it must be public"
    )
    metadata: Metadata | None = Field(
        None, description="up to 16 notes of yours, that come back with the job; keys have no colon"
    )


class GenerateParams(JobOptions):
    """Body of POST /generate, or its `config` where a file comes with it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_at_most_one_of("length", "bars", "seconds"))

    model: str = Field(
        DEFAULT_MODEL,
        min_length=1,
        max_length=200,
        description="id or name of a model; `default` is the one that PUT /models/default names",
    )
    length: int | None = Field(
        None, ge=1, description=f"time steps to sample; {DEFAULT_LENGTH} where nothing else is said"
    )
    bars: int | None = Field(None, ge=1, description="the length in bars of four beats, for models that count beats")
    seconds: float | None = Field(None, gt=0, le=1e6, description="the length in seconds")
    n: int = Field(1, ge=1, description="pieces, of seeds that follow each other")
    seed: int | None = Field(None, ge=0, lt=SEEDS, description="same model, seed and options: the same bytes")
    temperature: float = Field(1.0, ge=0.05, le=20.0, description="divides every activation; below 1 is safer")
    gibbs_steps: int | None = Field(
        None,
        ge=1,
        le=5000,
        description=f"steps of the Gibbs chain of each frame; {TUTORIAL_STEPS} where nothing is said, "
        f"{BEST_STEPS} for an lstm-rbm sampled the best way",
    )
    sampler: Way = Field(
        "best",
        description="tutorial: each frame's chain starts from zeros, 25 steps; best: what does justice to the model",
    )
    tempo: float | None = Field(None, ge=SLOWEST, le=FASTEST, description="beats per minute of the piece")
    transpose: int = Field(0, ge=-127, le=127, description="semitones by which all that the model plays is moved")
    key: Tonic | None = Field(
        None, description="tonic to play in, for models of common tonality; they play in C, or in the key of the file"
    )
    program: int = Field(0, ge=0, le=127, description="the MIDI file's instrument: a General MIDI program from 0")
    pitch_range: PitchRange | None = Field(None, description="[low, high): only these MIDI notes are sampled")
    keep: list[KeptRegion] | None = Field(
        None, min_length=1, max_length=100, description="what stays of a `source`; the rest is sampled"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "GenerateParams":
        if sum(value is not None for value in (self.length, self.bars, self.seconds)) > 1:
            raise ValueError("length: give one of length (steps), bars and seconds")
        _check_pitch_range(self.pitch_range)
        return self


ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,99}$")]


class TrainParams(JobOptions, RecipeOptions):
    """The `config` of POST /train and, with a corpus, parameters of a train job. Absent: the recipe's."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_at_most_one_of("dt", "steps_per_beat"))

    name: ModelName | None = None
    recipe: Literal["tutorial", "fast", "best", "best-nade", "lstm"] = "fast"
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
    init_from: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="id or name of a model to go on from; sizes, pitch range, time step and tonality are its own",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "TrainParams":
        if self.dt is not None and self.steps_per_beat is not None:
            raise ValueError("give dt (seconds) or steps_per_beat, not both")
        _check_pitch_range(self.pitch_range)
        return self


Role = Literal["primer", "source"]
"""What a file is for: to go on from, or to be filled in."""


class Given(BaseModel):
    """The frames of an uploaded file, packed by worker.given."""

    role: Role
    length: int
    """Frames."""
    roll: str
    kept: str | None = None
    """Which cells of a source stay."""
    tempo: float
    """Beats per minute at the first note."""
    semitones: int = 0
    """From C to its key, where the model is of common tonality."""


class GenerateJob(BaseModel):
    """A generate job with every choice made, so that a second run gives the same piece."""

    model: str
    model_name: str
    length: int
    """Frames of the piece, those of a primer among them."""
    n: int = 1
    seed: int
    temperature: float
    gibbs_steps: int
    sampler: Way = "tutorial"
    tempo: float
    step_seconds: float
    transpose: int = 0
    key: Tonic | None = None
    program: int = 0
    keys: tuple[int, int]
    """The MIDI notes that the model's units stand for, [low, high), transposition included."""
    pitch_range: tuple[int, int] | None = None
    keep: list[KeptRegion] | None = None
    given: Given | None = None

    @property
    def seeds(self) -> list[int]:
        """The seed of each piece."""
        return [(self.seed + i) % SEEDS for i in range(self.n)]

    @property
    def primer_length(self) -> int:
        """Frames of the primer."""
        return self.given.length if self.given and self.given.role == "primer" else 0

    @property
    def seconds(self) -> float:
        """How long a piece lasts."""
        return self.length * self.step_seconds


def keys_of(config: dict[str, Any], transpose: int) -> tuple[int, int]:
    """The MIDI notes of a model, [low, high), once it is transposed.

    Raises:
        ParameterError: they go beyond those of MIDI.
    """
    low, high = config["pitch_range"]
    if not 0 <= low + transpose < high + transpose <= 128:
        raise ParameterError("transpose", f"the model's keys leave room for {-low} to {128 - high} semitones")
    return low + transpose, high + transpose


def complete(params: GenerateParams, model: dict[str, Any], seed: int, given: Given | None = None) -> GenerateJob:
    """The job for a stored model's record, with that seed unless the parameters have one.

    Raises:
        ParameterError: the model cannot do what is asked.
    """
    config = model["config"]
    tempo = _tempo(params, model, given)
    step_seconds = config["dt"] or 60.0 / (tempo * config["steps_per_beat"])
    keys = keys_of(config, params.transpose + _semitones(params, model, given))
    _check_fit(params.pitch_range, keys)
    steps = params.gibbs_steps or steps_of(config.get("kind", "rnn-rbm"), params.sampler)
    as_asked = {"n", "temperature", "sampler", "transpose", "key", "program", "pitch_range", "keep"}
    return GenerateJob(
        **params.model_dump(include=as_asked),
        model=model["id"],
        model_name=model["name"],
        length=_length(params, config, step_seconds, given),
        seed=seed if params.seed is None else params.seed,
        gibbs_steps=steps,
        tempo=tempo,
        step_seconds=step_seconds,
        keys=keys,
        given=given,
    )


def _tempo(params: GenerateParams, model: dict[str, Any], given: Given | None) -> float:
    """Beats per minute: as asked, as in the file, or as in the model's corpus."""
    if model["config"]["dt"] is not None and params.tempo is not None:
        raise ParameterError(
            "tempo", f"model {model['name']!r} counts time in steps of {model['config']['dt']} s, so it has none to set"
        )
    tempo = params.tempo or (given.tempo if given else float(model["corpus"]["tempo"]))
    return min(max(tempo, SLOWEST), FASTEST)


def _semitones(params: GenerateParams, model: dict[str, Any], given: Given | None) -> int:
    """From C to the key that a model of common tonality plays in."""
    if params.key is None:
        return given.semitones if given else 0
    if model["config"].get("tonality") != "common":
        raise ParameterError("key", f"model {model['name']!r} plays in the keys of its corpus: move it by transpose")
    if given:
        raise ParameterError("key", f"the piece is in the key of its {given.role}: move it by transpose")
    return semitones_from_common(params.key)


def _check_fit(pitch_range: tuple[int, int] | None, keys: tuple[int, int]) -> None:
    if pitch_range and (pitch_range[0] >= keys[1] or pitch_range[1] <= keys[0]):
        raise ParameterError("pitch_range", f"the model has no keys there: its own are [{keys[0]}, {keys[1]})")


def _length(params: GenerateParams, config: dict[str, Any], step_seconds: float, given: Given | None) -> int:
    """Frames of the piece, those of a primer among them."""
    if given and given.role == "source":
        return _source_length(params, given)
    if params.keep is not None:
        raise ParameterError("keep", "it says what stays of a source, and no file `source` was sent")
    return _sampled_length(params, config, step_seconds) + (given.length if given else 0)


def _source_length(params: GenerateParams, given: Given) -> int:
    for name in ("length", "bars", "seconds"):
        if getattr(params, name) is not None:
            raise ParameterError(name, "a piece that is filled in has the length of its source")
    return given.length


def _sampled_length(params: GenerateParams, config: dict[str, Any], step_seconds: float) -> int:
    if params.seconds is not None:
        return max(1, round(params.seconds / step_seconds))
    if params.bars is None:
        return params.length or DEFAULT_LENGTH
    if config["steps_per_beat"] is None:
        raise ParameterError("bars", f"the model counts time in steps of {config['dt']} s: give seconds or length")
    return params.bars * BEATS_OF_A_BAR * int(config["steps_per_beat"])


class TrainJob(TrainParams):
    """A train job: the parameters and the corpus they apply to."""

    corpus: str


class EvaluateParams(JobOptions):
    """The `config` of POST /models/{id}/evaluate: how thoroughly it is done."""

    model_config = ConfigDict(extra="forbid")

    temperatures: int = Field(3000, ge=2, le=100_000, description="of annealed importance sampling")
    chains: int = Field(1, ge=1, le=1000, description="of annealed importance sampling, for each frame")
    frames: int | None = Field(
        None, ge=1, le=1_000_000, description=f"score at most so many, drawn at random; over HTTP {SCORED_FRAMES:,}"
    )
    pieces: int = Field(100, ge=0, le=1000, description="pieces to sample and compare with the corpus")
    seed: int = Field(0, ge=0, lt=SEEDS)


class EvaluateRequest(EvaluateParams):
    """The JSON body of POST /models/{id}/evaluate: the parameters and the corpus they apply to."""

    corpus: str


class EvaluateJob(EvaluateRequest):
    """An evaluate job: ids of a stored model and a stored corpus."""

    model: str


def bounded(params: EvaluateParams) -> EvaluateParams:
    """The evaluation that a stranger may ask for: with a bound on its frames, and on its work.

    Raises:
        ParameterError: it would take too long.
    """
    frames = params.frames or SCORED_FRAMES
    steps = params.temperatures * params.chains
    if steps > MOST_ANNEALING_A_FRAME:
        most = MOST_ANNEALING_A_FRAME // params.temperatures
        raise ParameterError("chains", f"at most {most:,} with {params.temperatures:,} temperatures")
    if frames * steps > MOST_ANNEALING:
        raise ParameterError("frames", f"at most {MOST_ANNEALING // steps:,} with so many temperatures and chains")
    return params.model_copy(update={"frames": frames})


def new_id() -> str:
    """An opaque id that sorts by time of creation."""
    return str(ULID())
