"""Measuring processes: each contestant runs in a process of its own, on cores of its own choice, and is asked in turns.

A contestant is a module whose `main` calls `serve` with its tasks. It says hello with one JSON line, then answers
each line `{"task": name, …parameters}` on its input with one JSON line, and waits without using a core in between.
So slow compilers warm up once, libraries cannot disturb each other's threads, and the rounds of those that are
compared lie side by side in time. Needs nothing but the standard library, as aesara's environment has little else.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, cast

Answer = dict[str, Any]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

STATISTICS = Path("/proc/stat")
IDLE = {3, 4}
"""Of a core's fields there: idle, and waiting for a disk."""
DISTURBED = 0.1
"""Share of its cores' time that others may have while a measurement still counts as quiet."""
PATIENCE = 3
"""How many times the rounds that are wanted are tried for, until that many were quiet."""
LONGEST = 120.0
"""Seconds after which no other round begins."""


class Missing(Exception):  # noqa: N818 (a finding that the table reports)
    """A contestant that cannot be measured here, and why."""


def serve(hello: Answer, tasks: Mapping[str, Callable[..., Answer]]) -> None:
    """Answer questions until the input ends.

    Each answer also has `busy`, the CPU seconds per second of its task, and `others`, the share of its cores' time that
    anything else on the machine had.
    """
    _say(hello)
    for line in sys.stdin:
        question = json.loads(line)
        task = tasks[question.pop("task")]
        wall, cpu, worked = time.perf_counter(), time.process_time(), _worked()
        answer = task(**question)
        seconds, own = time.perf_counter() - wall, time.process_time() - cpu
        answer["busy"] = round(own / seconds, 3)
        answer["others"] = round((_worked() - worked - own) / (cores() * seconds), 3)
        _say(answer)


def _worked() -> float:
    """Seconds, in steps of 10 ms, that the cores of this process have worked since Linux started; elsewhere 0."""
    if not STATISTICS.exists():
        return 0.0
    ticks = 0
    for line in STATISTICS.read_text().splitlines():
        name, *fields = line.split()
        if name[3:].isdecimal() and int(name[3:]) in os.sched_getaffinity(0):
            ticks += sum(int(field) for i, field in enumerate(fields[:8]) if i not in IDLE)
    return ticks / os.sysconf("SC_CLK_TCK")


def _say(answer: Answer) -> None:
    print(json.dumps(answer), flush=True)


class Contestant:
    """A running measuring process: `python -m MODULE ARGUMENTS` on the last `n_cores` cores, one thread a core.

    Raises:
        Missing: its Python is not there, or it ended without a hello; its last words on stderr are in `log`.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], *, log: Path, n_cores: int = 1, python: str = sys.executable
    ) -> None:
        self.name = name
        self.log = log
        self.n_cores = n_cores
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(n_cores))
        if not Path(python).exists():
            raise Missing("not installed")
        with pinned(n_cores), log.open("w") as errors:
            self._process = subprocess.Popen(
                [python, "-m", *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
            )  # fmt: skip
        self._input, self._output = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        self.hello = self._read()

    def ask(self, task: str, **parameters: Any) -> Answer:
        """What it measured, and whether it was `quiet`: no other work had its cores in that time.

        Raises:
            Missing: it died of the task.
        """
        try:
            self._input.write(json.dumps({"task": task, **parameters}) + "\n")
            self._input.flush()
        except BrokenPipeError as error:
            raise Missing(self._last_words()) from error
        answer = self._read()
        taken = answer["others"] if self.n_cores > 1 else 1 - answer["busy"]  # on one core the finer of the two
        return {**answer, "quiet": taken <= DISTURBED}

    def _read(self) -> Answer:
        line = self._output.readline()
        if not line:
            self._process.wait()
            raise Missing(self._last_words())
        answer: Answer = json.loads(line)
        return answer

    def _last_words(self) -> str:
        lines = self.log.read_text().strip().splitlines()
        return lines[-1] if lines else f"{self.name} ended with status {self._process.returncode}"

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(BrokenPipeError):  # it is dead already, with a question unread
            self._input.close()
        self._process.wait()


@contextmanager
def pinned(n_cores: int) -> Iterator[None]:
    """Let processes started here run on the last `n_cores` of this process's cores only, where Linux can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-n_cores:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Question(NamedTuple):
    """One of several things that are measured in turns."""

    label: str
    contestant: Contestant
    task: str
    parameters: Answer


def in_turns(questions: Sequence[Question], rounds: int) -> dict[str, list[Answer]]:
    """Answers by label: every question once in each round, until each has had so many quiet ones, or patience ends."""
    started = time.monotonic()
    answers: dict[str, list[Answer]] = {question.label: [] for question in questions}
    for _ in range(PATIENCE * rounds):
        for label, contestant, task, parameters in questions:
            answers[label].append(contestant.ask(task, **parameters))
        enough = all(sum(answer["quiet"] for answer in found) >= rounds for found in answers.values())
        if enough or time.monotonic() - started > LONGEST:
            break
    return answers


def quiet(answers: Sequence[Answer]) -> Sequence[Answer]:
    """Those of quiet rounds; all where there was none."""
    return [answer for answer in answers if answer["quiet"]] or answers
