"""The `rnnrbm` command. A subcommand is a `Command` in `COMMANDS`: its arguments and one function."""

import argparse
import hashlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from worker.errors import BrokerError, StartError, WorkerError
from worker.protocol import EvaluateParams, GenerateParams, Kind, Role, TrainParams
from worker.settings import Settings

if TYPE_CHECKING:
    from client.api import Client


@dataclass(frozen=True)
class Command:
    """A subcommand: `arguments` declares what `run` gets parsed."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], None]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None  # noqa: ARG005 (none to declare)


def read_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with what the command line says instead.

    Raises:
        StartError: a value makes no sense.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        facts = (f"RNNRBM_{'_'.join(map(str, fact['loc'])).upper()}: {fact['msg']}" for fact in error.errors())
        raise StartError("; ".join(facts)) from error


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (RNNRBM_HOST, 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (RNNRBM_PORT, 8000)")
    parser.add_argument("--data", help="directory or fsspec URL of corpora, models and pieces (RNNRBM_DATA, ./var)")


def _serve(args: argparse.Namespace) -> None:
    from worker.main import configure_logging
    from worker.supervisor import serve

    settings = read_settings(host=args.host, port=args.port, data=args.data)
    configure_logging(settings.log_level)
    serve(settings)


def _worker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=[kind.value for kind in Kind], help="the kind of jobs to perform")


def _worker(args: argparse.Namespace) -> None:
    from worker.main import run

    run(read_settings(), Kind(args.kind))


def _api(args: argparse.Namespace) -> None:  # noqa: ARG001 (it takes none)
    import uvicorn

    settings = read_settings()
    uvicorn.run(
        "service.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        access_log=settings.log_level == "DEBUG",  # probes would fill the log
        timeout_graceful_shutdown=5,  # event streams do not end by themselves
    )


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=".mid files, zips, or folders of them")
    parser.add_argument("--config", default="{}", help="JSON, as the field `config` of POST /train")
    parser.add_argument("--data", help="artefact store to put the model in (RNNRBM_DATA, ./var)")
    parser.add_argument("--id", help="id of the model, instead of a new one")


def _train(args: argparse.Namespace) -> None:
    from worker.offline import train

    params = _parsed(TrainParams, args.config)
    print(train(args.paths, params, read_settings(data=args.data), args.id))


def _generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", type=Path, help=".mid file to write; with --url also .png, .wav, .json, or .zip")
    parser.add_argument("--config", default="{}", help="JSON, as the body of POST /generate")
    file = parser.add_mutually_exclusive_group()
    file.add_argument("--primer", type=Path, help="MIDI file that the piece begins with and goes on from")
    file.add_argument("--source", type=Path, help="MIDI file that is filled in around what `keep` names")
    parser.add_argument("--data", help="artefact store with the model (RNNRBM_DATA, ./var)")


def _generate(args: argparse.Namespace) -> None:
    from worker.offline import generate

    if args.output.suffix.lower() in (".png", ".wav", ".json", ".zip"):
        raise WorkerError(f"{args.output}: without --url a piece is written as MIDI, to a .mid file")
    role: Role | None = "primer" if args.primer else "source" if args.source else None
    params, settings = _parsed(GenerateParams, args.config), read_settings(data=args.data)
    args.output.write_bytes(generate(params, settings, role, args.primer or args.source))


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=".safetensors file, or id or name of a stored model")
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="folder or zip of .mid files, or .npz of rolls")
    parser.add_argument("--config", default="{}", help="JSON: temperatures, chains, frames, pieces, seed")
    parser.add_argument("--data", help="artefact store with the model (RNNRBM_DATA, ./var)")


def _evaluate(args: argparse.Namespace) -> None:
    from worker.offline import evaluate

    params = _parsed(EvaluateParams, args.config)
    print(json.dumps(evaluate(args.model, args.corpus, params, read_settings(data=args.data)), indent=2))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it is to be 1 or more, not {number}")
    return number


def _search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=".mid files, zips, or folders of them")
    parser.add_argument("--study", type=Path, default=Path("search.journal"), help="file of the study, which goes on")
    parser.add_argument("--trials", type=_positive, default=20, help="trainings that the study is to have in the end")
    parser.add_argument(
        "--parallel", type=_positive, default=1, help="trainings at once: processes, or jobs with --url"
    )
    parser.add_argument(
        "--config", default="{}", help="JSON, as the field `config` of POST /train: what is not searched"
    )
    parser.add_argument("--data", help="artefact store to put the models in (RNNRBM_DATA, ./var)")


def _search(args: argparse.Namespace) -> None:
    from worker.search import LocalTrainer, search

    said = _parsed(TrainParams, args.config)
    trainer = LocalTrainer(args.paths, read_settings(data=args.data))
    print(json.dumps(search(args.study, said, args.trials, args.parallel, trainer), indent=2))


def _search_over_http(args: argparse.Namespace, client: "Client") -> None:
    from worker.search import RemoteTrainer, search

    said = _parsed(TrainParams, args.config)
    trainer = RemoteTrainer(client, client.upload(args.paths).id)
    print(json.dumps(search(args.study, said, args.trials, args.parallel, trainer), indent=2))


def _models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="id or name of a model to show, instead of the list")
    parser.add_argument("--download", type=Path, metavar="FILE", help=".safetensors file to write it to")


def _jobs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", nargs="?", help="id of a job to show, instead of the list")
    parser.add_argument("--follow", action="store_true", help="wait until it has ended, with a progress bar")
    parser.add_argument("--cancel", action="store_true", help="cancel it; a training keeps what it has learned")


def _needs_url(args: argparse.Namespace) -> None:
    raise StartError(
        f"this asks a running service: say which, as in rnnrbm --url http://localhost:8000 {args.command} …"
    )


def _over_http(args: argparse.Namespace) -> None:
    """Have a running service do what the command says."""
    from client.api import Client
    from client.cli import COMMANDS as REMOTE
    from client.errors import ClientError

    remote = {**REMOTE, "search": _search_over_http}
    if args.command not in remote:
        raise StartError(f"{args.command} takes no --url; these do: {', '.join(remote)}")
    for option in ("data", "id"):
        if getattr(args, option, None) is not None:
            raise StartError(f"--{option} is about the store of this machine: leave it out with --url")
    try:
        with Client(args.url, args.key) as client:
            remote[args.command](args, client)
    except ClientError as error:
        raise WorkerError(str(error)) from error


def _conditionals_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=".safetensors file, or id or name of a stored model")
    parser.add_argument("rolls", type=Path, metavar="ROLLS", help=".npz of rolls, or folder or zip of .mid files")
    parser.add_argument(
        "output", type=Path, metavar="OUT", help=".npz file to write: v, W, bv_t, bh_t; of a NADE v, log_p"
    )
    parser.add_argument("--data", help="artefact store with the model (RNNRBM_DATA, ./var)")


def _conditionals(args: argparse.Namespace) -> None:
    from worker.offline import write_conditionals

    write_conditionals(args.model, args.rolls, args.output, read_settings(data=args.data))


def _key(args: argparse.Namespace) -> None:  # noqa: ARG001 (it takes none)
    key = f"rnnrbm_{secrets.token_urlsafe(32)}"
    print(f"key, for the client (Authorization: Bearer …): {key}")
    print(f"hash, for the service (RNNRBM_API_KEYS):       {hashlib.sha256(key.encode()).hexdigest()}")


Params = TypeVar("Params", bound=BaseModel)


def _parsed(kind: type[Params], text: str) -> Params:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        facts = (f"{'.'.join(map(str, fact['loc'])) or 'config'}: {fact['msg']}" for fact in error.errors())
        raise StartError("; ".join(facts)) from error


COMMANDS: Sequence[Command] = (
    Command("serve", "run everything on this machine: server, workers and API", _serve, _serve_arguments),
    Command("worker", "perform jobs of one kind", _worker, _worker_arguments),
    Command("train", "train a model here, without a queue, or with --url on a service", _train, _train_arguments),
    Command(
        "generate",
        "write one piece, made here without a queue, or with --url by a service",
        _generate,
        _generate_arguments,
    ),
    Command(
        "evaluate",
        "measure a model on pieces that it was not trained on, here or with --url",
        _evaluate,
        _evaluate_arguments,
    ),
    Command("search", "train often, here or with --url, and find the options that do best", _search, _search_arguments),
    Command("models", "list a service's models, show or download one (with --url)", _needs_url, _models_arguments),
    Command("jobs", "list a service's jobs, show, follow or cancel one (with --url)", _needs_url, _jobs_arguments),
    Command(
        "conditionals",
        "write the RBM of each frame, or its probability, to check a likelihood",
        _conditionals,
        _conditionals_arguments,
    ),
    Command("api", "run the HTTP API", _api),
    Command("key", "make an API key, and the hash to configure", _key),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; errors meant for the user go to stderr without a traceback, with exit status 2."""
    # as process 1 of a container a program without a handler does not hear it, and torch takes seconds to load
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parser = argparse.ArgumentParser(prog="rnnrbm", description="Train and serve the RNN-RBM.")
    parser.add_argument(
        "--url", help="running service that is to do it: train, generate, evaluate, search, models, jobs"
    )
    parser.add_argument(
        "--key",
        default=os.environ.get("RNNRBM_KEY"),
        help="API key of that service (RNNRBM_KEY, which others cannot see)",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        command.arguments(subparser)
        subparser.set_defaults(run=command.run, command=command.name)
    args = parser.parse_args(argv)
    try:
        (_over_http if args.url else args.run)(args)
    except WorkerError as error:
        print(f"rnnrbm: {error}", file=sys.stderr)
        return 1 if isinstance(error, BrokerError) else 2  # the supervisor tries again after a 1, as Redis may be late
    return 0


if __name__ == "__main__":
    sys.exit(main())
