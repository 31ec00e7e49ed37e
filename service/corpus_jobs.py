"""Jobs on a corpus, which comes with the request or lies in the store: training and evaluation."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from service.described import FILES, MIDI_PART, body, form_body, json_body, reference
from service.forms import media_type, parse_json, read_form, read_json
from service.problems import ProblemError
from worker.corpora import ingest
from worker.settings import Settings
from worker.store import CORPUS, ArtefactStore

Params = TypeVar("Params", bound=BaseModel)


async def read_corpus_job(
    request: Request,
    params: type[Params],
    with_corpus: type[BaseModel],
    settings: Settings,
    store: ArtefactStore,
    complete: Callable[[Params], Params],
) -> tuple[Params, dict[str, Any]]:
    """What a request asks for, and the record of the corpus that it asks it of.

    Args:
        params: what the field `config` of a form holds.
        with_corpus: what a JSON body holds: those parameters and the id of a stored corpus.
        complete: makes choices that were left open, or raises, before an upload is read.

    Raises:
        ProblemError: the request is neither, or its parameters make no sense.
        WorkerError: no file of the upload can be used, or there is no such corpus.
    """
    content_type = media_type(request)
    if content_type == "multipart/form-data":
        async with read_form(request, settings) as form:
            said = await run_in_threadpool(complete, parse_json(params, form.config))
            corpus = await run_in_threadpool(ingest, store, form.files, settings)
    elif content_type == "application/json":
        body = parse_json(with_corpus, await read_json(request)).model_dump()
        corpus = await run_in_threadpool(store.record, CORPUS, body.pop("corpus"))
        said = await run_in_threadpool(complete, params(**body))
    else:
        raise ProblemError(
            415,
            f"send multipart/form-data with files, or application/json with a corpus, not {content_type or 'nothing'}",
        )
    return said, corpus


def summary(corpus: dict[str, Any]) -> dict[str, Any]:
    """What the answer adds to the job: which files were refused, and the rest of what became of them."""
    shown = {name: corpus[name] for name in ("id", "files", "usable", "refused")}
    return {"corpus": shown, "refused": corpus["refused"]}


def described(params: type[BaseModel], with_corpus: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """What /openapi.json says of such a request's body."""
    form = form_body(params, {"files": FILES}, {"files": MIDI_PART}, required=["files"])
    return body(form, json_body(reference(with_corpus), stored_corpus=example))
