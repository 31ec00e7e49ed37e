"""Who is measured in one run: the product on one core and on all, the machine, and the baselines that are there."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from sys import executable
from typing import Any

from bench.process import Answer, Contestant, Missing, Question, cores, in_turns

AESARA_PYTHON = Path(".venv/.bench-aesara/bin/python")
OURS, OURS_ON_ALL = "ours", "ours on all cores"

Answers = dict[str, list[Answer]]


@dataclass
class Contest:
    """The running contestants, why others are missing, and every answer so far."""

    one: Contestant
    """The product on one core."""
    all: Contestant
    """The product on all cores."""
    machine: dict[int, Contestant]
    """The machine's limits, by number of cores."""
    baselines: list[Contestant]
    missing: dict[str, str]
    n_cores: int
    corpus_frames: int
    flops: dict[int, float] = field(default_factory=dict)
    """fp32 operations a second, by number of cores, once the machine was measured."""
    details: dict[str, Any] = field(default_factory=dict)
    """Answers by section of the table."""

    @property
    def kernel(self) -> str:
        """What does the product's work."""
        hello = self.one.hello
        return str(hello["kernel"]) if hello["device"] == "cpu" else f"{hello['kernel']}, {hello['device']}"

    def ask(self, section: str, questions: Sequence[Question], rounds: int) -> Answers:
        """Ask in turns, and keep the answers."""
        answers = in_turns(questions, rounds)
        self.details[section] = answers
        return answers


@contextmanager
def contest(results: Path, corpus_frames: int) -> Iterator[Contest]:
    """Start everyone; the rolls are in the folder `results`, where each also leaves its log."""
    with ExitStack() as stack:

        def start(name: str, *arguments: str, n_cores: int = 1, python: str = executable) -> Contestant:
            log = results / f"{name.replace(' ', '-')}.log"
            return stack.enter_context(Contestant(name, arguments, log=log, n_cores=n_cores, python=python))

        n_cores = cores()
        missing: dict[str, str] = {}
        baselines: list[Contestant] = []
        rolls = str(results / "tutorial.npz")
        for name, python, arguments in (
            ("aesara", str(AESARA_PYTHON), ("bench.aesara_tutorial", rolls, "--serve")),
            ("aesara with OpenBLAS", str(AESARA_PYTHON), ("bench.aesara_tutorial", rolls, "--serve", "--openblas")),
            ("PyTorch loop", executable, ("bench.torch_loop", rolls)),
        ):
            try:
                baselines.append(start(name, *arguments, python=python))
            except Missing as reason:
                missing[name] = str(reason)
        yield Contest(
            one=start(OURS, "bench.ours", str(results), "1"),
            all=start(OURS_ON_ALL, "bench.ours", str(results), str(n_cores), n_cores=n_cores),
            machine={n: start(f"machine {n}", "bench.machine", n_cores=n) for n in sorted({1, n_cores})},
            baselines=baselines,
            missing=missing,
            n_cores=n_cores,
            corpus_frames=corpus_frames,
        )
