"""Training and generation from the command line, without a queue: the same jobs on the same store."""

import secrets
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from worker.context import JobContext, Stop, performing
from worker.corpora import ingest
from worker.errors import UploadError, WorkerError
from worker.protocol import GenerateParams, Kind, Status, TrainJob, TrainParams, complete, new_id
from worker.runtime import load, prepare
from worker.settings import Settings
from worker.store import GENERATION, ArtefactStore
from worker.uploads import MIDI_SUFFIXES


class _TerminalContext(JobContext):
    """Reports each epoch as a line; the first Ctrl+C stops the job, which keeps what it has learned."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self._stop: Stop | None = None
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, _signum: int, _frame: FrameType | None) -> None:
        self._stop = "cancel"
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def report(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Print a line."""
        figures = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items() if name != "epoch")
        print(f"epoch {step}/{total}  {figures}", flush=True)  # noqa: T201 (a terminal is what this class is for)

    def stop_requested(self) -> Stop | None:
        """Whether Ctrl+C was pressed."""
        return self._stop


def train(paths: Sequence[Path], params: TrainParams, settings: Settings, model_id: str | None = None) -> str:
    """Train on files, folders and zips of MIDI; the id of the stored model.

    Raises:
        WorkerError: the files cannot be used, or the training failed.
    """
    store = ArtefactStore(settings.data)
    corpus = ingest(store, _opened(_midi_files(paths)), settings)
    for refusal in corpus["refused"]:
        print(f"not used: {refusal['file']}: {refusal['reason']}")  # noqa: T201 (a terminal is what this is for)
    job = TrainJob(**params.model_dump(exclude_none=True), corpus=corpus["id"])
    result = _perform(Kind.TRAIN, model_id or new_id(), job.model_dump(mode="json", exclude_none=True), settings)
    return str(result["model"])


def generate(params: GenerateParams, settings: Settings) -> bytes:
    """One piece as a MIDI file.

    Raises:
        WorkerError: there is no such model, or it cannot do what is asked.
    """
    store = ArtefactStore(settings.data)
    job = complete(params, store.find_model(params.model), secrets.randbits(32))
    result = _perform(Kind.GENERATE, new_id(), job.model_dump(mode="json"), settings)
    return store.file(GENERATION, result["generation"], "piece.mid")


def _midi_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and those below the folders named."""
    found = []
    for path in paths:
        if not path.exists():
            raise UploadError(f"{path} does not exist")
        below = (p for p in path.rglob("*") if p.suffix.lower() in (*MIDI_SUFFIXES, ".zip"))
        found += sorted(below) if path.is_dir() else [path]
    return found


def _opened(paths: Sequence[Path]) -> Iterator[tuple[str, BinaryIO]]:
    """Names and contents of files, one open at a time."""
    for path in paths:
        with path.open("rb") as file:
            yield path.name, file


def _perform(kind: Kind, job_id: str, params: dict[str, Any], settings: Settings) -> dict[str, Any]:
    prepare(kind, settings)
    function = load(kind)
    with performing(_TerminalContext(job_id)):
        outcome = function(params)
    if outcome["status"] == Status.FAILED:
        raise WorkerError(outcome["problem"]["detail"])
    result: dict[str, Any] = outcome["result"]
    if not result:
        raise WorkerError("stopped before there was anything to keep")
    return result
