"""Tasks on all cores of the CPU, whose caller hears how far they are and can stop them. Free of torch."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from threading import Event

from model.errors import Stopped

OnStep = Callable[[int], bool]
"""Takes how many frames are done, of all tasks together; true asks for an end."""
Report = Callable[[int], None]
"""Takes how many frames a task has done; raises `Stopped` if the caller wants an end."""

WAIT_SECONDS = 0.05


def n_cores() -> int:
    """Of those that this process may use."""
    return len(os.sched_getaffinity(0))


def perform(task: Callable[[int, Report], None], n: int, on_step: OnStep | None, threads: int) -> None:
    """Perform tasks 0 to n - 1, so many at once, asking `on_step` first and now and then whether to go on.

    Raises:
        Stopped: `on_step` said so.
    """
    done = [0] * n
    stop = Event()

    def ask() -> None:
        if on_step is not None and on_step(sum(done)):
            stop.set()
            raise Stopped

    def note(index: int, frames: int) -> None:
        done[index] = frames
        if n == 1:
            ask()
        elif stop.is_set():
            raise Stopped

    ask()
    if n == 1:
        task(0, lambda frames: note(0, frames))
    else:
        _in_threads(lambda index: task(index, lambda frames: note(index, frames)), n, ask, threads)


def _in_threads(task: Callable[[int], None], n: int, ask: Callable[[], None], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        pending = {pool.submit(task, index) for index in range(n)}
        try:
            while pending:
                finished, pending = wait(pending, WAIT_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    future.result()
                ask()
        except BaseException:
            for future in pending:
                future.cancel()
            raise
