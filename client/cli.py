"""What `rnnrbm --url URL …` does; worker.cli declares the arguments."""

import json
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from client.api import MIDI, Client
from client.errors import ClientError, FileError
from client.views import Job, Refusal
from client.views import Progress as Step

FORMS = {".mid": MIDI, ".midi": MIDI, ".png": "image/png", ".wav": "audio/wav", ".zip": "application/zip",
         ".json": "application/json"}  # fmt: skip
HIDDEN_METRICS = ("epoch", "seconds")


def generate(args: Namespace, client: Client) -> None:
    """Write a piece to `args.output`, in the form that its suffix says."""
    form = FORMS.get(args.output.suffix.lower(), MIDI)
    piece = client.generate(form=form, primer=args.primer, source=args.source, **_options(args.config))
    try:
        piece.save(args.output)
    except OSError as error:
        raise FileError(args.output, error.strerror) from error


def train(args: Namespace, client: Client) -> None:
    """Train and print the model's id."""
    job = client.train(args.paths, **_options(args.config))
    _show_refused(job.refused)
    print((_watched(client, job.id).result or {})["model"])


def evaluate(args: Namespace, client: Client) -> None:
    """Evaluate and print the figures."""
    job = client.evaluate(args.model, [args.corpus], **_options(args.config))
    _print_json(_watched(client, job.id).result)


def models(args: Namespace, client: Client) -> None:
    """Print all models, or one, or write its file."""
    if args.download and not args.model:
        raise ClientError("--download wants a model: rnnrbm --url URL models MODEL --download FILE")
    if not args.model:
        _print_rows((m.id, m.name, m.recipe, f"{m.created_at:%Y-%m-%d %H:%M}") for m in client.models())
    elif args.download:
        client.download(args.model, args.download)
    else:
        _print_json(client.model(args.model).model_dump(mode="json"))


def jobs(args: Namespace, client: Client) -> None:
    """Print all jobs, or one; follow or cancel it."""
    if (args.follow or args.cancel) and not args.job:
        raise ClientError("--follow and --cancel want a job: rnnrbm --url URL jobs JOB --follow")
    if not args.job:
        _print_rows((j.id, j.kind, j.status, _step(j), f"{j.created_at:%Y-%m-%d %H:%M}") for j in client.jobs())
        return
    if args.cancel:
        client.cancel(args.job)
    job = _watched(client, args.job) if args.follow else client.job(args.job)
    _print_json(job.model_dump(mode="json"))


COMMANDS: Mapping[str, Callable[[Namespace, Client], None]] = {
    "generate": generate,
    "train": train,
    "evaluate": evaluate,
    "models": models,
    "jobs": jobs,
}


def _options(text: str) -> Any:
    try:
        options = json.loads(text)
    except ValueError as error:
        raise ClientError(f"config: Invalid JSON: {error}") from error
    if not isinstance(options, dict):
        raise ClientError("config: it must be a JSON object")
    return options


def _watched(client: Client, job_id: str) -> Job:
    """The job once it has ended, under a bar; the first Ctrl+C cancels it, and a training keeps what it has learned."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[metrics]}"))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("queued", total=None, metrics="")

        def show(step: Step) -> None:
            shown = "  ".join(f"{name} {v:.3f}" for name, v in step.metrics.items() if name not in HIDDEN_METRICS)
            bar.update(task, description="running", completed=step.step, total=step.total, metrics=shown)

        try:
            return client.wait(job_id, show)
        except KeyboardInterrupt:
            client.cancel(job_id)
            return client.wait(job_id, show)


def _show_refused(refused: Iterable[Refusal]) -> None:
    for file in refused:
        print(f"not used: {file.file}: {file.reason}")


def _step(job: Job) -> str:
    return f"{job.progress.step}/{job.progress.total}" if job.progress else "-"


def _print_rows(rows: Iterable[tuple[str, ...]]) -> None:
    for row in rows:
        print("  ".join(row))


def _print_json(body: Any) -> None:
    print(json.dumps(body, indent=2))
