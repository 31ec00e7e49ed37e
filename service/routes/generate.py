"""POST /generate: one piece of music, waited for."""

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.deps import BrokerDep, SettingsDep, StoreDep
from service.forms import media_type, parse_json, read_json
from service.jobs import accepted, problem_of
from service.negotiation import choose_media_type, preferred_wait
from service.pieces import FORMS, FORMS_OF_SEVERAL, answer
from service.problems import ProblemError
from worker.errors import ParameterError
from worker.protocol import GenerateJob, GenerateParams, JobView, Kind, Status, complete
from worker.settings import Settings
from worker.store import ArtefactStore

router = APIRouter(tags=["generate"])

JSON_TYPES = ("", "application/json", "application/x-www-form-urlencoded")  # the last is what `curl -d` says


async def _params(request: Request) -> GenerateParams:
    """The body, which may be absent; what `curl -d '{…}'` sends without a header is read as JSON too."""
    body = await read_json(request)
    if body.strip() and media_type(request) not in JSON_TYPES:
        raise ProblemError(415, f"the body must be application/json, not {media_type(request)}")
    return parse_json(GenerateParams, body)


BODY = {"requestBody": {"content": {"application/json": {"schema": GenerateParams.model_json_schema()}}}}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The piece",
        "content": {form: {} for form in FORMS},
        "headers": {name: {"schema": {"type": "string"}} for name in ("Location", "X-Seed", "X-Job-Id")},
    },
    202: {"description": "Not done in time: the job", "content": {"application/json": {}}},
}


@router.post("/generate", operation_id="generate", openapi_extra=BODY, responses=ANSWER, response_class=Response)
async def generate(
    params: Annotated[GenerateParams, Depends(_params)],
    settings: SettingsDep,
    broker: BrokerDep,
    store: StoreDep,
    accept: Annotated[str | None, Header()] = None,
    prefer: Annotated[str | None, Header()] = None,
) -> Response:
    """Generate a piece and answer with it: MIDI by default, other forms by `Accept`."""
    form = choose_media_type(accept, FORMS if params.n == 1 else FORMS_OF_SEVERAL)
    seconds, applied = preferred_wait(prefer, settings.generate_timeout)

    def submit() -> tuple[GenerateJob, JobView]:
        job = _job(params, settings, store)
        return job, broker.submit(Kind.GENERATE, job.model_dump(mode="json"), max_queued=settings.max_queued)

    job, view = await run_in_threadpool(submit)
    view = await broker.wait(view, seconds)
    headers = {"X-Job-Id": view.id, "X-Seed": str(job.seed)}
    if applied:
        headers["Preference-Applied"] = applied
    if not view.status.ended:
        return accepted(view, headers)
    if view.status is not Status.SUCCEEDED:
        raise problem_of(view)
    headers["Location"] = f"/generations/{view.id}"
    return await answer(store, view.id, form, headers)


def _job(params: GenerateParams, settings: Settings, store: ArtefactStore) -> GenerateJob:
    """The parameters with every open choice made."""
    if params.length > settings.max_length:
        raise ParameterError("length", f"at most {settings.max_length} steps, not {params.length}")
    if params.n > settings.max_pieces:
        raise ParameterError("n", f"at most {settings.max_pieces} pieces, not {params.n}")
    frames = params.n * params.length
    if frames * params.gibbs_steps > settings.max_gibbs_steps:
        most = settings.max_gibbs_steps // frames
        raise ParameterError("gibbs_steps", f"at most {most} for {frames} steps of time in all")
    return complete(params, store.find_model(params.model), secrets.randbits(32))
