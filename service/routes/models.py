"""/models: what was learned here, or brought from elsewhere."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

import service.ids  # noqa: F401 (paths below speak of models)
from service.corpus_jobs import described, read_corpus_job, summary
from service.deps import After, Limit, ModelReference, SettingsDep, StoreDep
from service.described import BINARY, FILE, MODEL_PART, body, errors, form_body, headers, json_body, reference
from service.forms import media_type, parse_json, read_form, read_json
from service.jobs import SubmitDep, accepted
from service.problems import ProblemError
from service.schemas import CorpusJobView, ModelSummary, ModelView, Page
from worker import models
from worker.models import DefaultModel, Description, ImportParams, SnapshotParams
from worker.protocol import DEFAULT_MODEL, EvaluateJob, EvaluateParams, EvaluateRequest, Kind, bounded
from worker.settings import MEBIBYTE, Settings
from worker.store import MODEL, ArtefactStore

router = APIRouter(prefix="/models", tags=["models"])

MODEL_BYTES = 64 * MEBIBYTE
"""More than any model has that can be trained here."""
MOST_COMPARED = 8
PNG: dict[int | str, dict[str, Any]] = {200: {"description": "The picture", "content": {"image/png": BINARY}}}
FILE_OF_MODEL = {"file": {**FILE, "description": ".safetensors"}}
IMPORT_BODY = body(
    form_body(ImportParams, FILE_OF_MODEL, {"file": MODEL_PART}, required=["file"]),
    json_body(reference(SnapshotParams), a_training={"job": "01M87VP90SSX7MD4D6A2DGDW0V", "name": "mine so far"}),
)
DESCRIPTION = {"name": "reels", "description": "Fiddle tunes, 200 hidden units"}
DESCRIBE_BODY = body(json_body(reference(Description), both=DESCRIPTION))
DEFAULT_BODY = body(json_body(reference(DefaultModel), by_name={"model": "nottingham"}))
CREATED: dict[int | str, dict[str, Any]] = {201: {"headers": headers("Location")}, **errors(404)}
EVALUATE_BODY = described(EvaluateParams, EvaluateRequest, {"corpus": "01M87VP8Z3QBY8M9EE4ZPRSQBN", "frames": 5000})


def view(record: dict[str, Any]) -> ModelView:
    """A stored record as the API shows it, with the metrics that the model has."""
    return ModelView.model_validate({**record, "metrics": models.reached(record)})


@router.get("", operation_id="list_models")
def list_models(
    store: StoreDep,
    after: After = None,
    limit: Limit = 50,
    name: Annotated[str | None, Query(max_length=200)] = None,
    recipe: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[ModelSummary]:
    """All models, newest first; those that come with the program last."""

    def wanted(record: dict[str, Any]) -> bool:
        return name in (None, record["name"]) and recipe in (None, record["recipe"])

    records, cursor = store.page(MODEL, after, limit, wanted)
    return Page(items=[ModelSummary.model_validate(record) for record in records], next=cursor)


@router.post("", operation_id="create_model", status_code=201, openapi_extra=IMPORT_BODY, responses=CREATED)
async def create(request: Request, response: Response, settings: SettingsDep, store: StoreDep) -> ModelView:
    """Take in a .safetensors file, or keep what a training has learned so far as a model of its own.

    A file is checked tensor by tensor. A training that runs saves itself every ten seconds: with its id as `job` in a
    JSON body, what it saved last becomes a model that can be listened to.
    """
    content_type = media_type(request)
    if content_type == "multipart/form-data":
        record = await _take_in(request, settings, store)
    elif content_type == "application/json":
        said = parse_json(SnapshotParams, await read_json(request))
        record = await run_in_threadpool(models.keep_snapshot, store, said)
    else:
        raise ProblemError(
            415,
            f"send multipart/form-data with a file, or application/json with a job, not {content_type or 'nothing'}",
        )
    response.headers["Location"] = f"/models/{record['id']}"
    return view(record)


async def _take_in(request: Request, settings: Settings, store: ArtefactStore) -> dict[str, Any]:
    async with read_form(request, settings, "file") as form:
        said = parse_json(ImportParams, form.config)
        if len(form.files) != 1:
            raise ProblemError(422, f"file: send one .safetensors file, not {len(form.files)}")
        name, file = form.files[0]
        data = file.read(MODEL_BYTES + 1)
        if len(data) > MODEL_BYTES:
            raise ProblemError(413, f"file: a model may have {MODEL_BYTES // MEBIBYTE} MiB")
        return await run_in_threadpool(models.take_in, store, name, data, said)


@router.get(
    "/curve.png", operation_id="compare_model_curves", response_class=Response, responses={**PNG, **errors(404)}
)
def compare(
    store: StoreDep,
    model: Annotated[
        list[str],
        Query(
            min_length=1,
            max_length=MOST_COMPARED,
            description="id or name, once for each model",
            examples=[["nottingham"]],
        ),
    ],
) -> Response:
    """The training curves of several models in one picture: `?model=one&model=other`."""
    return Response(models.curves(store, model), media_type="image/png")


@router.get("/default", operation_id="get_default_model")
def get_default(store: StoreDep) -> ModelView:
    """The model that plays where a request names none; `default` can stand for its id in other paths, too."""
    return view(store.find_model(DEFAULT_MODEL))


async def _default(request: Request) -> DefaultModel:
    if media_type(request) != "application/json":
        raise ProblemError(415, "send application/json with a model")
    return parse_json(DefaultModel, await read_json(request))


@router.put("/default", operation_id="set_default_model", openapi_extra=DEFAULT_BODY, responses=errors(404))
def set_default(said: Annotated[DefaultModel, Depends(_default)], store: StoreDep) -> ModelView:
    """Choose the model that plays where a request names none."""
    return view(store.choose_default(said.model))


@router.delete("/default", operation_id="reset_default_model", status_code=204)
def reset_default(store: StoreDep) -> None:
    """Let the model that comes with the program be the default again; no model is deleted."""
    store.forget_default()


@router.get("/{model_id:model}", operation_id="get_model")
def get(model_id: ModelReference, store: StoreDep) -> ModelView:
    """One model by id or name, with its config, corpus statistics and final metrics."""
    return view(store.find_model(model_id))


async def _description(request: Request) -> Description:
    if media_type(request) != "application/json":
        raise ProblemError(415, "send application/json with name or description")
    return parse_json(Description, await read_json(request))


@router.patch("/{model_id:model}", operation_id="update_model", openapi_extra=DESCRIBE_BODY, responses=errors(409))
def update(model_id: ModelReference, said: Annotated[Description, Depends(_description)], store: StoreDep) -> ModelView:
    """Rename a model, or describe it; what the body does not have stays as it is."""
    return view(models.describe(store, model_id, said))


@router.delete("/{model_id:model}", operation_id="delete_model", status_code=204, responses=errors(409))
def delete(model_id: ModelReference, store: StoreDep) -> None:
    """Delete a model; pieces that it made stay."""
    store.delete(MODEL, store.find_model(model_id)["id"])


@router.get(
    "/{model_id:model}/download",
    operation_id="download_model",
    response_class=Response,
    responses={
        200: {
            "description": "The file",
            "content": {"application/octet-stream": BINARY},
            "headers": headers("Content-Disposition"),
        }
    },
)
def download(model_id: ModelReference, store: StoreDep) -> Response:
    """The model as a .safetensors file."""
    record = store.find_model(model_id)
    disposition = f'attachment; filename="{record["name"]}.safetensors"'
    data = store.file(MODEL, record["id"], "model.safetensors")
    return Response(data, media_type="application/octet-stream", headers={"Content-Disposition": disposition})


@router.get("/{model_id:model}/metrics", operation_id="get_model_metrics")
def metrics(model_id: ModelReference, store: StoreDep) -> Page[dict[str, float]]:
    """Metrics of every epoch, all on one page."""
    return Page(items=store.find_model(model_id)["metrics"], next=None)


@router.get("/{model_id:model}/curve.png", operation_id="get_model_curve", response_class=Response, responses=PNG)
def curve(model_id: ModelReference, store: StoreDep) -> Response:
    """The training curve."""
    return Response(models.curve(store, model_id), media_type="image/png")


@router.post(
    "/{model_id:model}/evaluate",
    operation_id="evaluate_model",
    status_code=202,
    openapi_extra=EVALUATE_BODY,
    response_model=CorpusJobView,
    responses={202: {"headers": headers("Location", "Retry-After")}},
)
async def evaluate(
    model_id: ModelReference, request: Request, settings: SettingsDep, submit_job: SubmitDep, store: StoreDep
) -> Response:
    """Queue an evaluation on MIDI files or a stored corpus, best one that the model was not trained on.

    The job's result has, in nats a frame, `log_likelihood` by annealed importance sampling, its counterpart from the
    other side, `log_likelihood_reverse`, and `pseudo_log_likelihood` (a NADE's likelihood is exact, so the first two
    are the same and the third is null); `accuracy`; and how the model's own pieces compare with the corpus. Where the
    corpus has more frames than `frames` (20,000), so many of them are drawn at random; `standard_error` is that of the
    draw.
    """
    model = await run_in_threadpool(store.find_model, model_id)
    said, corpus = await read_corpus_job(request, EvaluateParams, EvaluateRequest, settings, store, bounded)
    job = EvaluateJob(**said.model_dump(), corpus=corpus["id"], model=model["id"])
    asked = job.model_copy(update={"corpus": corpus["digest"]})
    evaluation = await run_in_threadpool(submit_job, Kind.EVALUATE, job, asked)
    return accepted(evaluation, **summary(corpus))
