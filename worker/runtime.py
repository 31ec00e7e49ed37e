"""What a worker process keeps from job to job, and what every job function has in common. Free of torch."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

from model.device import Device, claim, processor
from model.errors import ConfigError, DeviceError, ModelError
from model.kernel import Kernel, best
from model.sampler import Sampler
from worker.cache import ModelCache
from worker.context import DeviceLost
from worker.errors import StartError, WorkerError
from worker.protocol import FUNCTIONS, Kind, Outcome, Problem, Status
from worker.settings import Settings
from worker.store import ArtefactStore
from worker.together import Together

if TYPE_CHECKING:
    from model.cuda.accelerator import Accelerator  # loads torch, which a worker on the CPU does without

TRAINING_NICENESS = 10


@dataclass(frozen=True)
class Runtime:
    """The store, the device that does the work, and with what."""

    store: ArtefactStore
    device: str
    compiled: Kernel | None
    """None: PyTorch does the work."""
    cache: ModelCache
    place: Device = field(default_factory=lambda: Device("cpu", processor()))
    """The device as its user knows it; `device` is what PyTorch calls it here."""
    accelerator: "Accelerator | None" = None
    """What is fast on the GPU, if the device is one."""
    together: Together = field(default_factory=Together)
    spare: Kernel | None = None
    """The CPU's compiled kernel, where the device is a GPU: for what it does not do."""

    @property
    def has_kernel(self) -> bool:
        """Whether there is a compiled kernel for the CPU."""
        return bool(self.compiled or (self.accelerator and self.accelerator.compiled))

    @property
    def kernel(self) -> str:
        """Name of what does the arithmetic."""
        if self.accelerator is not None:
            return self.accelerator.chains.name
        return self.compiled.name if self.compiled else "torch"

    def work(self, seconds: float) -> dict[str, Any]:
        """What a job's result says of the work."""
        return {"device": self.place.label, "device_name": self.place.name, "kernel": self.kernel, "seconds": seconds}

    def work_of(self, sampler: Sampler, seconds: float) -> dict[str, Any]:
        """The same for pieces, which a worker on a GPU may have sampled on the CPU."""
        if sampler.device == self.device:
            return self.work(seconds)
        return {"device": "cpu", "device_name": processor(), "kernel": sampler.kernel, "seconds": seconds}


_runtime: Runtime | None = None


def prepare(kind: Kind, settings: Settings) -> Runtime:
    """Set this process up for jobs of one kind; called once, before the first.

    Raises:
        StartError: the device asked for is not there, or cannot be used.
    """
    global _runtime  # noqa: PLW0603 (one process, one runtime: jobs are plain functions called by name)
    try:
        place = claim(settings.device)
    except ConfigError as error:
        raise StartError(str(error)) from error
    device = place.torch
    kernel = best() if settings.kernel == "auto" else None
    compiled, spare = (kernel, None) if device == "cpu" else (None, kernel)
    if compiled is None:
        _limit_torch(kind)
    elif kind is not Kind.GENERATE:
        os.nice(TRAINING_NICENESS)  # it takes all cores, and requests are to be answered while it does
    store = ArtefactStore(settings.data)
    gpu = None if device == "cpu" else _accelerator(kind, settings, place)
    _runtime = Runtime(store, device, compiled, ModelCache(store, device, compiled, gpu), place, gpu, spare=spare)
    return _runtime


def _accelerator(kind: Kind, settings: Settings, place: Device) -> "Accelerator":
    """What is fast on a GPU.

    Raises:
        StartError: PyTorch cannot use it after all.
    """
    from model.cuda.accelerator import accelerator  # noqa: PLC0415 (torch takes a second to load)

    plain = settings.kernel == "torch"
    try:
        return accelerator(place.torch, None if plain else best(), plain=plain, samples=kind is Kind.GENERATE)
    except DeviceError as error:
        raise StartError(f"device {place}: {error}") from error


def _limit_torch(kind: Kind) -> None:
    """For a piece one thread, as it is a chain of small products, and so that its sums, and its bytes, are the same.

    For a training all cores but one: threads that wait for each other lose most of their speed where another
    process wants the same core, and requests are to be answered while a training runs.
    """
    import torch  # noqa: PLC0415 (a second, which the compiled kernel does without)

    torch.set_num_threads(1 if kind is Kind.GENERATE else max(1, torch.get_num_threads() - 1))


Job = Callable[[dict[str, Any]], dict[str, Any]]


def job(function: Callable[[dict[str, Any], Runtime], Outcome]) -> Job:
    """Make a job function: parameters in, an `Outcome` out, both as JSON; errors meant for the user fail it."""

    @wraps(function)
    def perform(params: dict[str, Any]) -> dict[str, Any]:
        if _runtime is None:
            raise StartError("prepare() was not called in this process")
        try:
            outcome = function(params, _runtime)
        except DeviceError as error:
            outcome = _failed(error, f"{_runtime.place}: {error}")
        except (ModelError, WorkerError) as error:
            outcome = _failed(error, str(error))
        except Exception as error:
            _raise_if_lost(error, _runtime)
            raise
        return outcome.model_dump(mode="json")

    return perform


def _failed(error: Exception, detail: str) -> Outcome:
    return Outcome(status=Status.FAILED, problem=Problem(type=type(error).__name__, detail=detail))


def _raise_if_lost(error: Exception, runtime: Runtime) -> None:
    if runtime.accelerator is None:
        return
    from model.cuda.room import is_loss  # noqa: PLC0415 (it loads torch, which is there with an accelerator)

    if is_loss(error):
        words = str(error).splitlines()[0]
        raise DeviceLost(f"device {runtime.place} was lost: {words}") from error


def load(kind: Kind) -> Job:
    """The function that performs jobs of one kind; with it come the modules that it needs, torch for a training."""
    module, _, name = FUNCTIONS[kind].rpartition(".")
    function: Job = getattr(import_module(module), name)
    return function
