"""POST /train: learn a model from uploaded MIDI files or a stored corpus."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.corpus_jobs import described, read_corpus_job, summary
from service.deps import SettingsDep, StoreDep
from service.described import errors, headers
from service.jobs import SubmitDep, accepted
from service.schemas import CorpusJobView
from worker.models import complete_training
from worker.protocol import Kind, TrainJob, TrainParams

router = APIRouter(tags=["train"])

EXAMPLE = {"corpus": "01M87VP8Z3QBY8M9EE4ZPRSQBN", "name": "mine", "epochs": 60}
BODY = described(TrainParams, TrainJob, EXAMPLE)


@router.post(
    "/train",
    operation_id="train",
    status_code=202,
    openapi_extra=BODY,
    response_model=CorpusJobView,
    responses={202: {"headers": headers("Location", "Retry-After")}, **errors(404)},
)
async def train(request: Request, settings: SettingsDep, submit_job: SubmitDep, store: StoreDep) -> Response:
    """Queue a training; files that cannot be read are listed as `refused`, the others are used.

    With `init_from` it goes on from a stored model's parameters, on the same or another corpus.
    """

    def complete(params: TrainParams) -> TrainParams:
        return complete_training(store, params)

    said, corpus = await read_corpus_job(request, TrainParams, TrainJob, settings, store, complete)
    job = TrainJob(**said.model_dump(exclude_none=True), corpus=corpus["id"])
    asked = job.model_copy(update={"corpus": corpus["digest"]})  # the same files sent twice may be two corpora
    view = await run_in_threadpool(submit_job, Kind.TRAIN, job, asked)
    return accepted(view, **summary(corpus))
