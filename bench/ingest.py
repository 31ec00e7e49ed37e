"""How fast, and in how much memory, a corpus is taken in: from MIDI files to packed rolls to a first epoch.

python -m bench.ingest FOLDER [--files 4000 100000]

Parsing is compared with pretty_midi on some of the folder's files, in turns. Then corpora of any size are made from
the folder's files, each copy with a chunk of its own that readers pass over, and taken in as the service does it; each
step in a process of its own: its CPU seconds, and from /proc its greatest memory above what its imports take. Last,
the folder is sent to a service, whose seconds are the clock's.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
import numpy as np
import pretty_midi

from bench.report import Row, table
from model.config import PIANO, RECIPES, Sampling
from model.midi import read_roll
from worker.corpora import ingest
from worker.protocol import QUEUES, Kind
from worker.rolls import corpus_rolls
from worker.settings import MEBIBYTE, Settings
from worker.store import CORPUS, ArtefactStore

SIZES = (4_000, 100_000)
"""Files of the corpora; of Nottingham's, 4,000 are a million frames."""
SAMPLE, ROUNDS = 50, 5
STEP = 0.3
"""Seconds."""
GOAL = 3.0
"""Seconds from POST /train to the first epoch."""
SERVICE_SECONDS = 120.0
CONFIG = RECIPES["fast"].model


class Cost(NamedTuple):
    """What a task takes of a fresh process, and what it says."""

    cpu_seconds: float
    mebibytes: float
    answer: Any


def measure(folder: Path, sizes: Sequence[int] = SIZES) -> list[Row]:
    """All rows, for a folder of MIDI files."""
    files = [file.read_bytes() for file in sorted(folder.rglob("*.mid"))]
    rows = parsing(files)
    for size in sizes:
        rows += taking_in(files, size)
    return rows + first_epochs(files)


def parsing(files: Sequence[bytes]) -> list[Row]:
    """MIDI files to rolls, one thread."""
    sample = files[:: max(1, len(files) // SAMPLE)]
    rates: dict[Callable[[bytes], object], list[float]] = {_roll: [], _pretty_roll: []}
    for _ in range(ROUNDS):
        for read, found in rates.items():
            started = time.perf_counter()
            for data in sample:
                read(data)
            found.append(len(sample) / (time.perf_counter() - started))
    ours, theirs = (median(found) for found in rates.values())
    return [Row("MIDI files to rolls, 1 thread", "symusic", ours, "files/s", "pretty_midi", theirs)]


def _roll(data: bytes) -> object:
    return read_roll(data, Sampling(dt=STEP))


def _pretty_roll(data: bytes) -> object:
    song = pretty_midi.PrettyMIDI(BytesIO(data))
    return song.get_piano_roll(times=np.arange(0, song.get_end_time(), STEP))[slice(*PIANO)].T > 0


def taking_in(files: Sequence[bytes], size: int) -> list[Row]:
    """The steps of a corpus of that many files, each with its seconds and its memory."""
    with TemporaryDirectory() as folder:
        _write_variations(files, size, Path(folder, "corpus.zip"))
        steps = {"upload": _in_process(_upload, folder, size), "rolls": _in_process(_rolls, folder)}
        steps["rolls kept from before"] = _in_process(_rolls, folder)
    what = f"{size:,} files, {steps['rolls'].answer:,} frames"
    rows = []
    for step, cost in steps.items():
        name = f"{step}, {what}"
        rows += [Row(f"{name}: CPU", "", cost.cpu_seconds, "s"), Row(f"{name}: memory", "", cost.mebibytes, "MiB")]
    return rows


def _write_variations(files: Sequence[bytes], size: int, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(size):
            chunk = b"vary" + (4).to_bytes(4, "big") + index.to_bytes(4, "big")
            archive.writestr(f"corpus/piece-{index:06d}.mid", files[index % len(files)] + chunk)


def _upload(folder: str, size: int) -> int:
    limits = Settings(max_files=size, max_unpacked_bytes=size * MEBIBYTE)
    with Path(folder, "corpus.zip").open("rb") as file:
        return int(ingest(ArtefactStore(folder), [("corpus.zip", file)], limits)["usable"])


def _rolls(folder: str) -> int:
    store = ArtefactStore(folder)
    [key] = store.keys(CORPUS)
    return corpus_rolls(store, store.record(CORPUS, key), CONFIG).n_frames


def _in_process(task: Callable[..., object], *arguments: object) -> Cost:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_cost, task, *arguments).result()


def _cost(task: Callable[..., object], *arguments: object) -> Cost:
    before, started = _peak_mebibytes(), time.process_time()
    answer = task(*arguments)
    return Cost(time.process_time() - started, _peak_mebibytes() - before, answer)


def _peak_mebibytes() -> float:
    """The most memory that this process had so far; not ru_maxrss, which an exec does not set back."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def first_epochs(files: Sequence[bytes]) -> list[Row]:
    """From POST /train to the end of the first epoch, of a new corpus and of the same again."""
    name = f"POST /train with {len(files):,} files to the first epoch"
    with _service() as http:
        first, again = (_first_epoch(http, files) for _ in range(2))
    return [Row(name, "", first, "s", goal=GOAL), Row("the same again", "", again, "s", goal=GOAL)]


def _first_epoch(http: httpx.Client, files: Sequence[bytes]) -> float:
    started = time.perf_counter()
    parts = [("files", (f"{index}.mid", data)) for index, data in enumerate(files)]
    job = http.post("/train", files=parts).raise_for_status().json()["id"]
    _wait(http, f"/jobs/{job}", lambda view: view["progress"] and view["progress"]["step"] > 0)
    seconds = time.perf_counter() - started
    http.delete(f"/jobs/{job}")
    _wait(http, f"/jobs/{job}", lambda view: view["ended_at"])
    return seconds


@contextmanager
def _service() -> Iterator[httpx.Client]:
    """A client of `rnnrbm serve` once its train worker is there."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with TemporaryDirectory() as folder, httpx.Client(base_url=address, timeout=SERVICE_SECONDS) as http:
        settings = {"PORT": str(port), "DATA": folder, "REDIS_URL": "", "LOG_LEVEL": "ERROR"}
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "serve"],
            env=os.environ | {f"RNNRBM_{name}": value for name, value in settings.items()},
            stdout=subprocess.DEVNULL,
        )
        try:
            train = QUEUES[Kind.TRAIN]
            _wait(http, "/readyz", lambda view: any(worker["queue"] == train for worker in view["workers"]))
            yield http
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait(http: httpx.Client, path: str, there: Callable[[Any], Any]) -> None:
    """Return once the JSON at `path` is as `there` wants it."""
    deadline = time.monotonic() + SERVICE_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if there(http.get(path).json()):
                return
        time.sleep(0.02)
    raise TimeoutError(f"{path} is not as it should be after {SERVICE_SECONDS:g} s")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, nargs="*", default=SIZES, metavar="N", help="sizes of corpora")
    arguments = parser.parse_args()
    print(table(measure(arguments.folder, arguments.files)))


if __name__ == "__main__":
    main()
