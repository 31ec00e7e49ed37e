"""The benchmark suite: one table of what this machine can do, what the product does on it, and what others do.

    make bench                                  on a corpus sampled from the bundled model
    make bench MIDI=nottingham/train            on a folder of MIDI files
    make bench MIDI=nottingham/train CURVES=1   and how long the recipes take to learn, an hour on PyTorch
    .venv/bin/python -m bench --help            the same without make, and parts of it

Each line names who did the work, so that a figure of one kernel is never taken for one of another; RNNRBM_KERNEL=torch
measures the product on PyTorch. Baselines run in the same minutes as the product, in turns, each pinned to the same
core (bench.process); figures are medians, their ratio says how many times better the product is. A baseline that
cannot be installed stands in the table as missing, with the reason; a line whose cores had other work to do says so.
Where there is a GPU, its lines (bench.gpu) stand beside the CPU's.
Everything that was measured goes to bench/results/latest.json. The slower measurements have programs of their own:
bench.http (requests), bench.tutorial (200 epochs), bench.samples (what a model plays).
"""

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import corpus
from bench.contest import Contest, contest
from bench.curves import curves
from bench.growth import growth
from bench.process import Missing
from bench.report import Row, table, write
from bench.sections import batched_training, cold_start, machine, on_a_gpu, pieces, training

RESULTS = Path("bench/results")
Section = Callable[[Contest], list[Row]]
SECTIONS: dict[str, Section] = {
    "training": training,
    "batched": batched_training,
    "pieces": pieces,
    "growth": growth,
    "gpu": on_a_gpu,
    "cold-start": cold_start,
    "curves": curves,
}


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser("bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--midi", type=Path, help="folder of MIDI files")
    parser.add_argument("--curves", action="store_true", help="learning curves too")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", type=Path, default=RESULTS / "latest.json")
    arguments = parser.parse_args()
    chosen = arguments.only or [name for name in SECTIONS if name != "curves" or arguments.curves]

    RESULTS.mkdir(exist_ok=True)
    _tell("corpus, and everybody's warm-up")
    about = corpus.prepare(arguments.midi, RESULTS)
    with contest(RESULTS, about["frames"]) as running:
        _tell("machine")
        rows = machine(running)
        for name in chosen:
            _tell(name)
            rows += _rows(name, running)
        facts = {"kernel": running.kernel, "cores": running.n_cores, "corpus": about, **_facts()}
        details = running.details
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), table(rows), sep="\n\n")
    write(arguments.json, facts, rows, details)


def _tell(what: str) -> None:
    """Say on stderr what is being measured, as it takes minutes."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


def _rows(name: str, running: Contest) -> list[Row]:
    """A section's rows; one that cannot be measured has a row that says so."""
    try:
        return SECTIONS[name](running)
    except (Missing, ImportError) as reason:
        return [Row(name, running.kernel, None, "", note=str(reason))]


def _facts() -> dict[str, str]:
    """What else a reader needs to judge the figures: processor, Python, version of the project."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), platform.machine())
    git = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "processor": f"{names[0] if names else platform.processor()}, {widest}",
        "python": platform.python_version(),
        "commit": git.stdout.strip(),
    }


if __name__ == "__main__":
    main()
