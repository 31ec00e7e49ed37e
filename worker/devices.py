"""Which workers a machine gets: some for each GPU, and some on the CPU. Free of torch, and nothing touches CUDA."""

from dataclasses import dataclass

from model.device import choose, usable_gpus
from model.errors import ConfigError
from worker.errors import StartError
from worker.protocol import Kind
from worker.settings import Settings


@dataclass(frozen=True)
class Post:
    """A worker to be started: the kind of its jobs, and what `RNNRBM_DEVICE` it is told."""

    kind: Kind
    device: str
    number: int
    """Among those of its kind on its device, from 1."""

    @property
    def name(self) -> str:
        """For the log."""
        return f"{self.kind} worker {self.number if self.device == 'cpu' else 'on ' + self.device}"


def posts(settings: Settings) -> list[Post]:
    """The workers of this machine: one of each kind for each GPU, and those on the CPU besides or instead.

    Raises:
        StartError: the device asked for is not there.
    """
    labels = _gpus(settings.device)
    found = [Post(kind, label, 1) for label in labels for kind, count in _counts(settings).items() if count]
    besides = settings.device == "auto" if settings.cpu_workers is None else settings.cpu_workers
    if besides or not labels:
        found += [
            Post(kind, "cpu", number) for kind, count in _counts(settings).items() for number in range(1, count + 1)
        ]
    return found


def _gpus(device: str) -> list[str]:
    """The GPUs that get workers: all that can be used for `auto` and `cuda`, the one that is named, or none."""
    try:
        chosen = choose(device)
    except ConfigError as error:
        raise StartError(str(error)) from error
    if chosen.label == "cpu":
        return []
    return [f"cuda:{gpu.index}" for gpu in usable_gpus()] if device in ("auto", "cuda") else [chosen.label]


def _counts(settings: Settings) -> dict[Kind, int]:
    return {
        Kind.GENERATE: settings.generate_workers,
        Kind.TRAIN: settings.train_workers,
        Kind.EVALUATE: settings.evaluate_workers,
    }
