"""Training, generation and evaluation from the command line, without a queue: the same jobs on the same store."""

import secrets
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model.artefact import from_bytes
from model.benchmark_rolls import read_benchmark_rolls
from model.conditionals import conditionals, log_probabilities
from model.config import ModelConfig
from model.corpus import PackedRolls, read_rolls
from model.errors import ModelError
from model.kernel import Kernel
from model.parameters import Parameters
from model.pianoroll import Roll
from worker.context import JobContext, Stop, performing
from worker.corpora import ingest
from worker.errors import UploadError, WorkerError
from worker.evaluation import figures
from worker.given_files import GivenFile, read_given
from worker.models import complete_training
from worker.protocol import EvaluateParams, GenerateParams, Kind, Role, Status, TrainJob, TrainParams, complete, new_id
from worker.runtime import load, prepare
from worker.settings import Settings
from worker.store import GENERATION, MODEL, ArtefactStore
from worker.uploads import MIDI_SUFFIXES, read_upload


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
        WorkerError: the files cannot be used, the id or the name is taken, or the training failed.
    """
    store = ArtefactStore(settings.data)
    if model_id is not None and model_id in store.keys(MODEL):
        raise WorkerError(f"--id: there is a model {model_id!r} already; delete it first, or leave --id out")
    params = complete_training(store, params)
    corpus = ingest(store, _opened(_midi_files(paths)), settings)
    for refusal in corpus["refused"]:
        print(f"not used: {refusal['file']}: {refusal['reason']}")  # noqa: T201 (a terminal is what this is for)
    job = TrainJob(**params.model_dump(exclude_none=True), corpus=corpus["id"])
    result = _perform(Kind.TRAIN, model_id or new_id(), job.model_dump(mode="json", exclude_none=True), settings)
    return str(result["model"])


def generate(params: GenerateParams, settings: Settings, role: Role | None = None, path: Path | None = None) -> bytes:
    """One piece as a MIDI file.

    Args:
        params: what is asked for.
        settings: where the models are.
        role: what the MIDI file at `path`, if any, is for.
        path: of that file.

    Raises:
        WorkerError: there is no such model, or it cannot do what is asked, or the file cannot be used.
    """
    store = ArtefactStore(settings.data)
    model = store.find_model(params.model)
    given = None
    if role and path:
        file = GivenFile(role, path.name, _bytes_of(path))
        given = read_given(file, params, model["config"], settings.max_length)
    job = complete(params, model, secrets.randbits(32), given)
    result = _perform(Kind.GENERATE, new_id(), job.model_dump(mode="json"), settings)
    return store.file(GENERATION, result["generation"], "piece.mid")


def evaluate(model: str, corpus: Path, params: EvaluateParams, settings: Settings) -> dict[str, Any]:
    """Figures of a model, a file or a stored one's id or name, on a folder or zip of MIDI or an .npz of rolls.

    Raises:
        WorkerError: the model or the corpus cannot be used.
    """
    runtime = prepare(Kind.TRAIN, settings)  # like a training it may take all cores
    with _model_errors():
        parameters = _read_model(model, settings)
        rolls = _read_corpus(corpus, parameters.config, settings)
        return figures(parameters, rolls, params, runtime, _show_progress)


def write_conditionals(model: str, rolls: Path, output: Path, settings: Settings) -> None:
    """Write what anyone needs to check a likelihood, as .npz with one row for each frame of the rolls.

    `v` (frames, n_visible), `W` (n_visible, n_hidden), `bv_t` (frames, n_visible), `bh_t` (frames, n_hidden), float32:
    frame t of a piece has the RBM of W, bv_t and bh_t, which depend on the piece's earlier frames only. Of a NADE `v`
    and `log_p` (frames,), float64, the logarithm of each frame's probability given the piece's earlier frames.

    Raises:
        WorkerError: the model or the rolls cannot be used, or the output cannot be written.
    """
    runtime = prepare(Kind.TRAIN, settings)
    with _model_errors():
        parameters = _read_model(model, settings)
        pieces = list(_read_corpus(rolls, parameters.config, settings))
        rows = _conditional_rows(parameters, pieces, runtime.compiled)
    try:
        with output.open("wb") as file:
            np.savez(file, allow_pickle=False, **rows)
    except OSError as error:
        raise WorkerError(f"{output} cannot be written: {error.strerror}") from error


def _conditional_rows(
    parameters: Parameters, pieces: Sequence[Roll], kernel: Kernel | None
) -> dict[str, NDArray[np.floating[Any]]]:
    if parameters.config.kind == "lstm-nade":
        v = np.concatenate(pieces).astype(np.float32)
        return {"v": v, "log_p": log_probabilities(parameters, pieces, kernel)}
    c = conditionals(parameters, pieces, kernel)
    return {"v": c.v.astype(np.float32), "W": c.W, "bv_t": c.bv, "bh_t": c.bh}


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UploadError(f"{path}: {error.strerror}") from error


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


@contextmanager
def _model_errors() -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        raise WorkerError(str(error)) from error


def _read_model(reference: str, settings: Settings) -> Parameters:
    """The model in a file, or else the stored one of that id or name."""
    path = Path(reference)
    if path.is_file():
        return from_bytes(path.read_bytes())
    store = ArtefactStore(settings.data)
    return from_bytes(store.file(MODEL, store.find_model(reference)["id"], "model.safetensors"))


def _read_corpus(path: Path, config: ModelConfig, settings: Settings) -> PackedRolls:
    """The rolls in an .npz, or of the MIDI files in a folder or zip."""
    if not path.exists():
        raise UploadError(f"{path} does not exist")
    if path.is_file() and path.suffix.lower() == ".npz":
        with path.open("rb") as file:
            return read_benchmark_rolls(file, config)
    with read_upload(_opened(_midi_files([path])), settings) as upload:
        rolls = read_rolls(((piece.name, upload.data(piece)) for piece in upload.pieces), config, strict=False)
    return replace(rolls, refused=(*((refusal.file, refusal.reason) for refusal in upload.refused), *rolls.refused))


def _show_progress(done: int, total: int) -> None:
    """Tell a terminal how far it is; the figures alone go to the standard output."""
    if sys.stderr.isatty():
        print(f"{done:,} of {total:,} frames", end="\r" if done < total else "\n", file=sys.stderr)  # noqa: T201
