"""/generations: pieces that were made."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

import service.ids  # noqa: F401 (paths below speak of ids)
from service.deps import After, GenerationId, Limit, StoreDep
from service.described import BINARY, errors, headers
from service.negotiation import Accept, choose_media_type
from service.pieces import FORMS, JSON, MIDI, PNG, WAV, ZIP, render, view
from service.schemas import GenerationDetail, GenerationView, Page
from worker.store import GENERATION

router = APIRouter(prefix="/generations", tags=["generations"])


MadeBy = Annotated[str | None, Query(max_length=200, description="id or name of the model that made them")]


OTHERS = tuple(form for form in FORMS if form != JSON)


def _answer(*media_types: str) -> dict[int | str, dict[str, Any]]:
    content = dict.fromkeys(media_types, BINARY)
    piece = {"description": "The piece", "content": content, "headers": headers("Content-Disposition")}
    return {200: piece, **errors(406)}


@router.get("", operation_id="list_generations")
def list_generations(
    store: StoreDep, after: After = None, limit: Limit = 50, model: MadeBy = None
) -> Page[GenerationView]:
    """All pieces, newest first."""
    records, cursor = store.page(
        GENERATION, after, limit, lambda record: model in (None, record["model"], record["model_name"])
    )
    return Page(items=[view(record) for record in records], next=cursor)


@router.get(
    "/{generation_id}.mid", operation_id="get_generation_midi", response_class=Response, responses=_answer(MIDI)
)
def midi(generation_id: GenerationId, store: StoreDep) -> Response:
    """The piece as a MIDI file."""
    return render(store, generation_id, MIDI)


@router.get("/{generation_id}.png", operation_id="get_generation_png", response_class=Response, responses=_answer(PNG))
def png(generation_id: GenerationId, store: StoreDep) -> Response:
    """The piece as a piano-roll picture."""
    return render(store, generation_id, PNG)


@router.get("/{generation_id}.wav", operation_id="get_generation_wav", response_class=Response, responses=_answer(WAV))
def audio(generation_id: GenerationId, store: StoreDep) -> Response:
    """The piece as it sounds on a plain synthesiser."""
    return render(store, generation_id, WAV)


@router.get("/{generation_id}.zip", operation_id="get_generation_zip", response_class=Response, responses=_answer(ZIP))
def archive(generation_id: GenerationId, store: StoreDep) -> Response:
    """All pieces of the generation as MIDI files."""
    return render(store, generation_id, ZIP)


@router.get(
    "/{generation_id:id}", operation_id="get_generation", response_model=GenerationDetail, responses=_answer(*OTHERS)
)
def get(generation_id: GenerationId, store: StoreDep, accept: Accept) -> Response:
    """The piece with its frames; as MIDI, picture or audio by `Accept`."""
    return render(store, generation_id, choose_media_type(accept, (JSON, *OTHERS)))


@router.delete("/{generation_id:id}", operation_id="delete_generation", status_code=204)
def delete(generation_id: GenerationId, store: StoreDep) -> None:
    """Delete a piece."""
    store.delete(GENERATION, generation_id)
