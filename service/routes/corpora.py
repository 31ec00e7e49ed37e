"""/corpora: uploaded MIDI files, stored once and trained on often."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.deps import After, CorpusId, Limit, SettingsDep, StoreDep
from service.described import BINARY, FILES, MIDI_PART, body, form_body, headers
from service.forms import media_type, parse_json, read_form
from service.problems import ProblemError
from service.schemas import CorpusDetail, CorpusFile, CorpusView, Page
from worker import corpora
from worker.corpora import CorpusParams
from worker.store import CORPUS

router = APIRouter(prefix="/corpora", tags=["corpora"])

BODY = body(form_body(CorpusParams, {"files": FILES}, {"files": MIDI_PART}, required=["files"]))
PNG: dict[int | str, dict[str, Any]] = {200: {"description": "The picture", "content": {"image/png": BINARY}}}
Position = Annotated[int | None, Query(ge=1, lt=10**15, description="cursor: `next` of the page before")]
CREATED: dict[int | str, dict[str, Any]] = {201: {"headers": headers("Location")}}


@router.post("", operation_id="create_corpus", status_code=201, openapi_extra=BODY, responses=CREATED)
async def create(request: Request, response: Response, settings: SettingsDep, store: StoreDep) -> CorpusView:
    """Store MIDI files; the same set of files is stored once, whatever its names and order."""
    if media_type(request) != "multipart/form-data":
        raise ProblemError(415, "send multipart/form-data with files, as curl -F files=@a.mid does")
    async with read_form(request, settings) as form:
        said = parse_json(CorpusParams, form.config)
        record = await run_in_threadpool(corpora.ingest, store, form.files, settings, said)
    response.headers["Location"] = f"/corpora/{record['id']}"
    return CorpusView.model_validate(record)


@router.get("", operation_id="list_corpora")
def list_corpora(store: StoreDep, after: After = None, limit: Limit = 50) -> Page[CorpusView]:
    """All corpora, newest first."""
    records, cursor = store.page(CORPUS, after, limit)
    return Page(items=[CorpusView.model_validate(record) for record in records], next=cursor)


@router.get("/{corpus_id}", operation_id="get_corpus")
def get(corpus_id: CorpusId, store: StoreDep) -> CorpusDetail:
    """One corpus, with the distributions of its pitches, polyphony, keys, lengths and tempi."""
    record = store.record(CORPUS, corpus_id)
    return CorpusDetail.model_validate({**record, "statistics": corpora.statistics(store, corpus_id)})


@router.get("/{corpus_id}/files", operation_id="list_corpus_files")
def list_files(corpus_id: CorpusId, store: StoreDep, after: Position = None, limit: Limit = 50) -> Page[CorpusFile]:
    """What became of each file of the corpus, in the order of its first upload: facts, or why it was refused."""
    rows, cursor = corpora.file_page(store, corpus_id, after, limit)
    return Page(items=[CorpusFile.model_validate(row) for row in rows], next=cursor)


@router.get(
    "/{corpus_id}/statistics.png", operation_id="get_corpus_statistics_png", response_class=Response, responses=PNG
)
def statistics_png(corpus_id: CorpusId, store: StoreDep) -> Response:
    """The corpus's statistics as a picture: pitches, polyphony, lengths and keys."""
    return Response(corpora.picture(store, corpus_id), media_type="image/png")


@router.delete("/{corpus_id}", operation_id="delete_corpus", status_code=204)
def delete(corpus_id: CorpusId, store: StoreDep) -> None:
    """Delete a corpus; models learned from it stay."""
    store.delete(CORPUS, corpus_id)
