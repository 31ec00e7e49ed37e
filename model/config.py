"""What a model is made of and how it is trained, as plain values. Free of torch.

The recipe `tutorial` holds the settings of the deeplearning.net tutorial to the letter; `fast` is what
POST /train uses when nothing is said.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from model.errors import ConfigError

PIANO = (21, 109)
"""MIDI notes of the 88 keys, A0 to C8, as a half-open range."""


SHORTEST, LONGEST = 1e-6, 1e4
"""Time steps."""

Tonality = Literal["own", "common"]


@dataclass(frozen=True)
class Sampling:
    """How a piano-roll's frames lie in time: every `dt` seconds, or `steps_per_beat` to the beat."""

    dt: float | None = None
    steps_per_beat: int | None = None

    def __post_init__(self) -> None:
        if (self.dt is None) == (self.steps_per_beat is None):
            raise ConfigError("give exactly one of dt (seconds) and steps_per_beat")
        for name, step in (("dt", self.dt), ("steps_per_beat", self.steps_per_beat)):
            if step is not None and not SHORTEST <= step <= LONGEST:
                raise ConfigError(f"{name} {step} is not within {SHORTEST:g}..{LONGEST:g}")


MOST_RECALL = 100.0
KINDS = ("rnn-rbm", "lstm-rbm", "lstm-nade")


@dataclass(frozen=True)
class ModelConfig:
    """What rebuilds a model and reads its input; stored as `config` in the model file."""

    kind: Literal["rnn-rbm", "lstm-rbm", "lstm-nade"] = "rnn-rbm"
    n_hidden: int = 150
    n_hidden_recurrent: int = 100
    pitch_range: tuple[int, int] = PIANO
    dt: float | None = 0.3
    steps_per_beat: int | None = None
    tonality: Tonality = "own"
    """The key of what it reads: as written, or moved to C major or C minor."""
    learn_u0: bool = False
    """Whether the first recurrent state is a parameter, `u0`; otherwise it is 0."""

    n_channels: int = 0
    """Of the pitch-tied layer, in kinds with a gated recurrence: a multiple of 16; 0: without memory of the piece."""
    recall: float = 0.0
    """How much a piece that an RNN-RBM plays freely recalls of itself: a gain of model/recall.py; 0: nothing."""

    def __post_init__(self) -> None:
        low, high = self.pitch_range
        if not 0 <= low < high <= 128:
            raise ConfigError(f"pitch_range {low}..{high} is not within MIDI's 0..128")
        if self.kind not in KINDS:
            raise ConfigError(f"unknown kind of model {self.kind!r}")
        if self.n_channels < 0 or self.n_channels % 16 or (self.n_channels and self.kind == "rnn-rbm"):
            raise ConfigError("n_channels is a multiple of 16, and 0 for an rnn-rbm, which has no memory of the piece")
        if self.n_hidden < 1 or self.n_hidden_recurrent < 1:
            raise ConfigError("a model needs at least one hidden and one recurrent unit")
        if self.learn_u0 and self.kind != "rnn-rbm":
            raise ConfigError("only an rnn-rbm learns its first state")
        if self.tonality not in ("own", "common"):
            raise ConfigError(f"unknown tonality {self.tonality!r}: it is own or common")
        if not 0 <= self.recall <= MOST_RECALL:
            raise ConfigError(f"recall {self.recall} is not within 0..{MOST_RECALL:g}")
        if self.recall and self.kind != "rnn-rbm":
            raise ConfigError("recall is for an rnn-rbm: the other kinds have a memory of the piece, or learned none")
        _ = self.sampling

    @property
    def n_visible(self) -> int:
        """Number of keys."""
        return self.pitch_range[1] - self.pitch_range[0]

    @property
    def recalled_at(self) -> tuple[int, int]:
        """How many frames back a place is at least that is recalled, and of what its distance is a multiple.

        So much as 24 beats, 120 a minute where none are known, and whole pairs of beats where they are.
        """
        if self.steps_per_beat:
            return 24 * self.steps_per_beat, 2 * self.steps_per_beat
        return max(1, round(12 / (self.dt or 1))), 1

    @property
    def sampling(self) -> Sampling:
        """The time step."""
        return Sampling(self.dt, self.steps_per_beat)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**asdict(self), "pitch_range": list(self.pitch_range)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """Inverse of `to_dict`; members that this version does not know are an error."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(f"unknown members of config: {', '.join(unknown)}")
        try:
            return cls(**{**values, "pitch_range": tuple(values.get("pitch_range", PIANO))})
        except TypeError as error:
            raise ConfigError(f"config cannot be read: {error}") from error


@dataclass(frozen=True)
class TrainingConfig:
    """How the parameters are learned."""

    epochs: int = 200
    lr: float = 0.001
    lr_rbm: float | None = None
    """Step size of W, bv and bh, where it is not `lr` too."""
    momentum: float = 0.0
    """Nesterov's, of `sgd`."""
    batch_size: int = 100
    """Frames of a subsequence (the tutorial's name)."""
    n_parallel: int = 1
    """Subsequences of one update."""
    min_updates: int = 1
    """Updates of an epoch at least: a small corpus is gone through more than once."""
    gibbs_steps: int = 15
    """k of CD-k."""
    chain_start: Literal["data", "zeros"] = "data"
    """Where the negative chains start: at the data (CD), or where those of generation start."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    schedule: Literal["constant", "cosine"] = "constant"
    """Cosine: a short warm-up, then down to a hundredth, once for each stage."""
    rbm_pretraining: int = 0
    """Updates, before all else, in which the RBM alone learns the frames in no order."""
    pretraining: float = 0.0
    """Share of the epochs, first, in which the recurrence learns to predict frames by cross-entropy."""
    initialization: Literal["tutorial", "scaled", "model"] = "tutorial"
    """Model: the parameters of a model that was trained before."""
    input_dropout: float = 0.0
    """Share of sounding notes that the recurrence does not hear in training."""
    channel_dropout: float = 0.0
    """Share of the pitch-tied layer's channels that a frame goes without in training."""
    state_dropout: float = 0.0
    """Share of the recurrent units that a frame's biases do not see in training; of a gated recurrence."""
    slips: float = 0.0
    """Share of the frames that a gated recurrence and its memory hear as the model plays them (model/slips.py)."""
    stretch: int = 4
    """How many of these it plays one after another, on average."""
    split: float = 0.0
    """Share of the pieces that are cut into several in an epoch, each of which begins with nothing heard."""
    distillation: float = 0.0
    """Share that teachers have in what is to be predicted, where there are any (model/distillation.py)."""
    clip_norm: float | None = None
    """Longest gradient; longer ones are shortened. Here and below, 0 is None."""
    transpose: int = 0
    """Each piece is moved by up to so many semitones either way, anew in each epoch."""
    transposed: float = 1.0
    """Share of the pieces that are moved in an epoch."""
    average: float | None = None
    """Decay of the mean of the parameters over updates, which is then what is validated and kept."""
    validation: float = 0.0
    """Share of the pieces that is held out to choose the best epoch by."""
    patience: int | None = None
    """Epochs without a better one on what is held out, after which the training ends."""
    seed: int = 0

    @property
    def pretraining_epochs(self) -> int:
        """Epochs of the first stage."""
        return int(self.epochs * self.pretraining)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class Recipe:
    """A named pair of settings."""

    model: ModelConfig
    training: TrainingConfig


_MEMORY = TrainingConfig(
    epochs=40,
    lr=3e-3,
    batch_size=100,
    n_parallel=8,
    min_updates=50,
    optimizer="adam",
    rbm_pretraining=9000,
    input_dropout=0.2,
    channel_dropout=0.2,
    state_dropout=0.5,
    clip_norm=5.0,
    transpose=5,
    average=0.998,
    validation=0.1,
    patience=10,
)
_LSTM = ModelConfig(kind="lstm-rbm", n_hidden_recurrent=200, dt=None, steps_per_beat=2, tonality="common")

RECIPES = {
    "tutorial": Recipe(ModelConfig(), TrainingConfig()),
    "fast": Recipe(
        ModelConfig(n_hidden_recurrent=200, dt=None, steps_per_beat=2, tonality="common"),
        TrainingConfig(
            epochs=60,
            lr=1.5e-3,
            n_parallel=16,
            min_updates=50,
            gibbs_steps=25,
            chain_start="zeros",
            optimizer="adam",
            schedule="cosine",
            pretraining=0.4,
            initialization="scaled",
            input_dropout=0.2,
            clip_norm=5.0,
            validation=0.1,
            patience=10,
        ),
    ),
    "best": Recipe(replace(_LSTM, n_channels=32), _MEMORY),
    "best-nade": Recipe(replace(_LSTM, kind="lstm-nade", n_channels=32), _MEMORY),
    "lstm": Recipe(_LSTM, _MEMORY),
}
"""`best` and `best-nade` remember the piece; `lstm` is `best` without a memory."""
