"""/corpora: uploaded MIDI files, stored once and trained on often."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.deps import After, Limit, SettingsDep, StoreDep
from service.forms import MULTIPART_FILES, media_type, read_form
from service.problems import ProblemError
from service.schemas import CorpusView, Page
from worker.corpora import ingest
from worker.store import CORPUS

router = APIRouter(prefix="/corpora", tags=["corpora"])

FORM = {"type": "object", "required": ["files"], "properties": {"files": MULTIPART_FILES}}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}


@router.post("", operation_id="create_corpus", status_code=201, openapi_extra=BODY)
async def create(request: Request, response: Response, settings: SettingsDep, store: StoreDep) -> CorpusView:
    """Store MIDI files; the same set of files is stored once, whatever its names and order."""
    if media_type(request) != "multipart/form-data":
        raise ProblemError(415, "send multipart/form-data with files, as curl -F files=@a.mid does")
    async with read_form(request, settings) as form:
        record = await run_in_threadpool(ingest, store, form.files, settings)
    response.headers["Location"] = f"/corpora/{record['id']}"
    return CorpusView.model_validate(record)


@router.get("", operation_id="list_corpora")
def list_corpora(store: StoreDep, after: After = None, limit: Limit = 50) -> Page[CorpusView]:
    """All corpora, newest first."""
    records, cursor = store.page(CORPUS, after, limit)
    return Page(items=[CorpusView.model_validate(record) for record in records], next=cursor)


@router.get("/{corpus_id}", operation_id="get_corpus")
def get(corpus_id: str, store: StoreDep) -> CorpusView:
    """One corpus."""
    return CorpusView.model_validate(store.record(CORPUS, corpus_id))


@router.delete("/{corpus_id}", operation_id="delete_corpus", status_code=204)
def delete(corpus_id: str, store: StoreDep) -> None:
    """Delete a corpus; models learned from it stay."""
    store.delete(CORPUS, corpus_id)
