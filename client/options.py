"""What can be asked of a job, by the names that the API has for it; what is absent is the service's choice."""

from collections.abc import Sequence
from typing import Any, TypedDict


class JobOptions(TypedDict, total=False):
    """What every request for a job may say of it."""

    deadline: float
    webhook: str
    metadata: dict[str, str]


class GenerateOptions(JobOptions, total=False):
    """POST /generate."""

    model: str
    length: int
    bars: int
    seconds: float
    n: int
    seed: int
    temperature: float
    gibbs_steps: int
    sampler: str
    tempo: float
    transpose: int
    key: str
    program: int
    pitch_range: tuple[int, int]
    keep: Sequence[dict[str, Any]]


class TrainOptions(JobOptions, total=False):
    """POST /train."""

    name: str
    recipe: str
    epochs: int
    n_hidden: int
    n_hidden_recurrent: int
    lr: float
    batch_size: int
    gibbs_steps: int
    dt: float
    steps_per_beat: int
    pitch_range: tuple[int, int]
    seed: int
    init_from: str
    tonality: str
    learn_u0: bool
    validation: float
    patience: int
    optimizer: str
    momentum: float
    lr_rbm: float
    schedule: str
    average: float
    clip_norm: float
    n_parallel: int
    chain_start: str
    initialization: str
    rbm_pretraining: int
    pretraining: float
    input_dropout: float
    transpose: int
    channel_dropout: float
    state_dropout: float
    slips: float
    stretch: int
    split: float
    transposed: float


class EvaluateOptions(JobOptions, total=False):
    """POST /models/{id}/evaluate."""

    temperatures: int
    chains: int
    frames: int
    pieces: int
    seed: int
