"""POST /generate: one piece of music, waited for."""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool

from service.deps import BrokerDep, SettingsDep, StoreDep
from service.described import BINARY, errors, headers
from service.jobs import SubmitDep, accepted, problem_of
from service.negotiation import Accept, Prefer, choose_media_type, preferred_wait
from service.piece_request import BODY, PieceRequest, read_piece_request
from service.pieces import FORMS, FORMS_OF_SEVERAL, JSON, WAV, answer
from service.schemas import GenerationDetail
from worker.errors import ParameterError
from worker.given import gibbs_steps_of
from worker.given_files import read_given
from worker.protocol import GenerateJob, JobView, Kind, Status, complete
from worker.rendering import check_audio
from worker.settings import Settings
from worker.store import ArtefactStore

router = APIRouter(tags=["generate"])

ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The piece",
        "model": GenerationDetail,
        "content": {form: BINARY for form in FORMS if form != JSON},
        "headers": headers("Location", "X-Seed", "X-Job-Id", "Preference-Applied", "Content-Disposition"),
    },
    202: {
        "description": "Not done in time: the job",
        "model": JobView,
        "headers": headers("Location", "X-Seed", "X-Job-Id", "Preference-Applied", "Retry-After"),
    },
    **errors(404, 406, 409, 500, 504),
}


@router.post("/generate", operation_id="generate", openapi_extra=BODY, responses=ANSWER, response_class=Response)
async def generate(
    asked: Annotated[PieceRequest, Depends(read_piece_request)],
    settings: SettingsDep,
    broker: BrokerDep,
    submit_job: SubmitDep,
    store: StoreDep,
    accept: Accept,
    prefer: Prefer,
) -> Response:
    """Generate a piece and answer with it: MIDI by default, other forms by `Accept`.

    With a file it goes on from a `primer`, or fills in a `source` around what `keep` names of it.
    """
    form = choose_media_type(accept, FORMS if asked.params.n == 1 else FORMS_OF_SEVERAL)
    seconds, applied = preferred_wait(prefer, settings.generate_timeout)

    def submit() -> JobView:
        job = _job(asked, settings, store)
        if form == WAV:
            check_audio(job.seconds)
        return submit_job(Kind.GENERATE, job, asked.params, *asked.content)

    view = await run_in_threadpool(submit)
    view = await broker.wait(view, seconds)
    headers = {"X-Job-Id": view.id, "X-Seed": str(view.seed)}
    if applied:
        headers["Preference-Applied"] = applied
    if not view.status.ended:
        return accepted(view, headers)
    if view.status is not Status.SUCCEEDED:
        raise problem_of(view)
    headers["Location"] = f"/generations/{view.id}"
    return await answer(store, view.id, form, headers)


def _job(asked: PieceRequest, settings: Settings, store: ArtefactStore) -> GenerateJob:
    """The parameters with every open choice made, and what is given of the piece.

    Raises:
        ParameterError, UploadError: it cannot be done, or is too much.
    """
    model = store.find_model(asked.params.model)
    given = read_given(asked.file, asked.params, model["config"], settings.max_length) if asked.file else None
    job = complete(asked.params, model, secrets.randbits(32), given)
    if job.n > settings.max_pieces:
        raise ParameterError("n", f"at most {settings.max_pieces} pieces, not {job.n}")
    if job.length > settings.max_length:
        raise ParameterError("length", f"at most {settings.max_length} steps, not {job.length}")
    if (steps := gibbs_steps_of(job)) > settings.max_gibbs_steps:
        raise ParameterError(
            "gibbs_steps",
            f"{steps:,} of them in all, for {job.n * job.length:,} steps of time, are more than "
            f"{settings.max_gibbs_steps:,}: ask for fewer or a shorter piece",
        )
    return job
