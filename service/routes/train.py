"""POST /train: learn a model from uploaded MIDI files or a stored corpus."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.deps import SettingsDep, StoreDep
from service.forms import MULTIPART_FILES, media_type, parse_json, read_form, read_json
from service.jobs import SubmitDep, accepted
from service.problems import ProblemError
from worker.corpora import ingest
from worker.errors import ParameterError
from worker.protocol import JobView, Kind, TrainJob, TrainParams
from worker.store import CORPUS

router = APIRouter(tags=["train"])

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": MULTIPART_FILES,
                        "config": {"type": "string", "description": "JSON, the members of TrainParams"},
                    },
                }
            },
            "application/json": {"schema": TrainJob.model_json_schema()},
        },
    }
}


@router.post("/train", operation_id="train", status_code=202, openapi_extra=BODY, response_model=JobView)
async def train(request: Request, settings: SettingsDep, submit_job: SubmitDep, store: StoreDep) -> Response:
    """Queue a training; files that cannot be read are listed as `refused`, the others are used."""
    content_type = media_type(request)
    if content_type == "multipart/form-data":
        async with read_form(request, settings) as form:
            params = parse_json(TrainParams, form.config)
            corpus = await run_in_threadpool(ingest, store, form.files, settings)
        job = TrainJob(**params.model_dump(exclude_none=True), corpus=corpus["id"])
    elif content_type == "application/json":
        job = parse_json(TrainJob, await read_json(request))
        corpus = await run_in_threadpool(store.record, CORPUS, job.corpus)
    else:
        raise ProblemError(
            415,
            f"send multipart/form-data with files, or application/json with a corpus, not {content_type or 'nothing'}",
        )
    if job.name in await run_in_threadpool(store.bundled_names):
        raise ParameterError("name", f"{job.name!r} is the name of a model that comes with the program")
    asked = job.model_copy(update={"corpus": corpus["digest"]})  # the same files sent twice may be two corpora
    view = await run_in_threadpool(submit_job, Kind.TRAIN, job, asked)
    summary = {name: corpus[name] for name in ("id", "files", "usable", "refused")}
    return accepted(view, corpus=summary, refused=corpus["refused"])
