"""What can go wrong with a device: it has no room for the whole, and smaller parts will do; or it is lost."""

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from model.errors import DeviceError

T = TypeVar("T")

logger = logging.getLogger(__name__)


def is_loss(error: Exception) -> bool:
    """Whether after this error nothing will work on the device in this process."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or (isinstance(error, RuntimeError) and "CUDA error" in str(error))


class Parts:
    """How many of something are done at a time: as many as are asked for, and half as many after each refusal."""

    def __init__(self, at_once: int, what: str) -> None:
        self.at_once = at_once
        self._what = what

    def over(self, n: int, work: Callable[[slice], T]) -> list[T]:
        """What `work` gives for 0 to n in parts, one after another; a part that finds no room is done in two.

        Raises:
            DeviceError: there is no room for a single one.
        """
        done: list[T] = []
        first = 0
        while first < n:
            last = min(first + self.at_once, n)
            try:
                done.append(work(slice(first, last)))
                first = last
                continue
            except torch.OutOfMemoryError as error:
                refusal = str(error).splitlines()[0]
            self.halve(last - first, refusal)
        return done

    def halve(self, tried: int, refusal: str) -> None:
        """Take half as many as were tried from now on; to be called when nothing holds what the refused work made.

        Raises:
            DeviceError: it was a single one.
        """
        if tried <= 1:
            raise DeviceError(f"the device has not room for a single one of the {self._what}: {refusal}")
        self.at_once = tried // 2
        logger.warning("no room for %d %s at once, going on with %d: %s", tried, self._what, self.at_once, refusal)
        gc.collect()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call] # torch leaves it untyped
            torch.cuda.empty_cache()
