"""Everything about a GPU in one call: builds, checks and times, within eight minutes.

    python -m bench.gpu                      on a bare checkout: PyTorch, NumPy and a C compiler are all it takes
    python -m bench.gpu --device cpu --small the same in miniature, without a GPU: that it runs, no more

1. The C kernel is built where it is missing, with the flags of pyproject.toml.
2. The model's tests run, those on the GPU first, where pytest is there; those that need more than is there are named.
3. Ceilings (GEMM, random numbers, copy), chains, updates beside the roofline, pieces, likelihoods; then a table, and
   bench/results/gpu.json. A part for which no time is left says so.
"""

import argparse
import json
import logging
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import torch

from bench import device_limits, device_work
from bench.contest import Contest
from bench.device_work import Work
from bench.failures import MARK
from bench.needs import missing, missing_by_test
from bench.report import Row, table, write
from model.cuda.accelerator import accelerator
from model.device import usable_gpus
from model.kernel import best, kernels

ROOT = Path(__file__).parents[1]
SECONDS = 480.0
CHECK_SECONDS = 190.0
LEAST = 15.0
"""Seconds that are worth beginning with tests."""
TESTS = (
    "fused_chain", "fused_recurrence", "whole_updates", "batch_sampler", "training_on_gpus", "annealing_room",
    "device", "rbm", "rnn_rbm", "training", "gated_training", "gated", "gated_generation", "gated_evaluation",
    "likelihood", "generation", "infilling", "evaluation", "kernel",
)  # fmt: skip
"""Of tests/model, what is computed on a device and with what; the first to be known stand first."""
SMALL_TESTS = (
    "fused_chain", "fused_recurrence", "whole_updates", "training_on_gpus", "annealing_room", "device", "rbm",
    "rnn_rbm",
)  # fmt: skip
FIRST = "cuda or fused"
"""The tests that run on the GPU, as pytest is told; the others run in what is left of the time."""
PROCESSES = min(14, os.cpu_count() or 1)
"""That run tests side by side, where pytest-xdist is there."""
OUTCOME = re.compile(r"\b(PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")
PARTS = ("chains", "updates", "pieces", "likelihood")

started = time.monotonic()


def left() -> float:
    """Seconds until all has to be done."""
    return SECONDS - (time.monotonic() - started)


def say(what: str) -> None:
    """Tell on stderr, with the time, as it takes minutes."""
    print(f"{time.monotonic() - started:5.0f} s  {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Build, check, time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="a miniature of every part")
    parser.add_argument("--only", nargs="+", choices=("check", *PARTS), default=("check", *PARTS))
    parser.add_argument("--json", type=Path, default=ROOT / "bench" / "results" / "gpu.json")
    arguments = parser.parse_args()
    logging.basicConfig(level="INFO", format="         %(message)s")
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.exit(2, "there is no GPU here that PyTorch can use; --device cpu --small runs without one\n")
    if device.type == "cpu":
        torch.set_num_threads(1)  # threads wait for each other where the cores have other work
    say(build())
    facts = _facts(device)
    rows = list(check(device, arguments.small)) if "check" in arguments.only else []
    for row in times(device, facts["device"], arguments.only, arguments.small):
        rows.append(row)
        say(" ".join(row.cells()))
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), table(rows), sep="\n\n")
    arguments.json.parent.mkdir(exist_ok=True)
    write(arguments.json, facts, rows, {"seconds": round(SECONDS - left(), 1)})


def build() -> str:
    """The C kernel beside its sources, if it is not there; what came of it."""
    if best() is not None:
        return f"the C kernel is there: {best().name}"  # type: ignore[union-attr] # just looked
    (extension,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    target = ROOT / "model" / "kernel" / f"_kernel{sysconfig.get_config_var('EXT_SUFFIX')}"
    compiler = os.environ.get("CC", "cc")
    command = [compiler, "-shared", "-fPIC", *extension["extra-compile-args"], *extension["sources"], "-lm"]
    try:
        subprocess.run([*command, "-o", str(target)], cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"without the C kernel: {error}"
    kernels.cache_clear()
    return f"the C kernel was built: {found.name if (found := best()) else 'and does not load'}"


def check(device: torch.device, small: bool) -> Iterator[Row]:
    """The model's tests: on a GPU those that run there, and then all others."""
    if find_spec("pytest") is None:
        yield Row("model tests", "pytest", None, "", note="pytest is not there: NOT CHECKED")
        return
    files = [ROOT / "tests" / "model" / f"test_{name}.py" for name in (SMALL_TESTS if small else TESTS)]
    arguments = list(_without_what_is_missing(files))
    until = min(CHECK_SECONDS, left() - 60)
    for where, which in (("", ""),) if device.type == "cpu" else ((", on the GPU", FIRST), ("", f"not ({FIRST})")):
        if until < LEAST:
            yield Row(f"model tests{where}", "pytest", None, "", note="no time was left: NOT CHECKED")
            continue
        note, took = _tested([*arguments, *(["-k", which] if which else [])], until)
        until -= took
        yield Row(f"model tests{where}", "pytest", None, "", note=note)


def _without_what_is_missing(files: Iterable[Path]) -> Iterator[str]:
    """What pytest is told, so that it does not come to tests whose packages are not there; they are named here."""
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        if packages := missing(file):
            say(f"left out: {name}, for want of {', '.join(packages)}")
            continue
        yield name
        for test, packages in missing_by_test(file).items():
            say(f"left out: {name}::{test}, for want of {', '.join(packages)}")
            yield f"--deselect={name}::{test}"


def _tested(arguments: Sequence[str], limit: float) -> tuple[str, float]:
    """What came of tests within so many seconds, in words, and the seconds that they took."""
    command = [sys.executable, "-m", "pytest", "-v", "-rs", "--tb=short", "-c", os.devnull, "--rootdir", str(ROOT)]
    command += ["--import-mode=importlib", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    command += ["-p", "bench.failures", *(["-n", str(PROCESSES)] if find_spec("xdist") else []), *arguments]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as told:
        tests = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=told, stderr=told, start_new_session=True)
        try:
            ended: int | None = tests.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            ended = None
            tests.wait()
        told.seek(0)
        lines = told.read().splitlines()
    for line in lines:
        if line.startswith((MARK, "ERROR", "SKIPPED")):
            say(line)
    counts = Counter(found[1].lower() for line in _progress(lines) if (found := OUTCOME.search(line)))
    summary = ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) or "\n".join(lines[-1:])
    verdicts = {0: "green", None: f"NOT DONE in {limit:.0f} s"}
    return f"{verdicts.get(ended, 'NOT GREEN, see above')}: {summary}", time.monotonic() - began


def _progress(lines: Iterable[str]) -> Iterator[str]:
    """The lines of tests, as they ended, before what pytest says of all of them."""
    begun = False
    for line in lines:
        if begun and line.startswith("==="):
            return
        begun = begun or line.startswith("===")
        if "::" in line and not line.startswith(MARK):
            yield line


def times(device: torch.device, name: str, only: Iterable[str], small: bool) -> Iterator[Row]:
    """Rows as they are measured."""
    sizes = device_limits.SMALL if small else device_limits.Sizes()
    limits, rows = device_limits.measure(device, name, sizes)
    yield from rows
    found = accelerator(str(device), None if small else best(), plain=device.type == "cpu", samples=True)
    work = Work(device, name, found, limits, device_work.SMALL if small else device_work.Sizes())
    parts: dict[str, Callable[[], Iterator[Row]]] = {part: getattr(work, part) for part in PARTS}
    for part in (part for part in PARTS if part in only):
        if left() < 30:
            yield Row(part, work.by, None, "", note="no time was left: NOT MEASURED")
            continue
        say(part)
        try:
            yield from parts[part]()
        except (RuntimeError, torch.OutOfMemoryError) as error:
            yield Row(part, work.by, None, "", note=f"NOT MEASURED: {str(error).splitlines()[0]}")


def _facts(device: torch.device) -> dict[str, str]:
    there = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    git = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "device": there,
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "python": sys.version.split()[0],
        "commit": git.stdout.strip(),
    }


def rows_of_run(contest: Contest) -> list[Row]:
    """The section of `make bench`: what a run of this program finds, in a process of its own; nothing without a GPU."""
    if not usable_gpus():
        return []
    path = ROOT / "bench" / "results" / "gpu.json"
    command = [sys.executable, "-m", "bench.gpu", "--json", str(path), "--only", "chains", "updates", "pieces"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(path.read_text())
    contest.details["gpu"] = found
    names = {field.name for field in fields(Row)}
    return [Row(**{name: value for name, value in row.items() if name in names}) for row in found["rows"]]


if __name__ == "__main__":
    main()
