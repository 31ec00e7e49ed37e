"""The forms in which generated pieces can be had."""

from typing import Any

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from service.schemas import GenerationDetail, GenerationView, PieceView
from worker.rendering import (
    audio_of,
    frames_of,
    log_likelihood_of,
    midi_of,
    picture_of,
    piece_record,
    pieces_of,
    zip_of,
)
from worker.store import ArtefactStore

MIDI, PNG, WAV, JSON, ZIP = "audio/midi", "image/png", "audio/wav", "application/json", "application/zip"
FORMS = (MIDI, PNG, WAV, JSON, ZIP)
FORMS_OF_SEVERAL = (ZIP, JSON)
SUFFIXES = {MIDI: ".mid", PNG: ".png", WAV: ".wav", ZIP: ".zip"}
MAKERS = {MIDI: midi_of, PNG: picture_of, WAV: audio_of, ZIP: zip_of}


def render(store: ArtefactStore, key: str, media_type: str, headers: dict[str, str] | None = None) -> Response:
    """A generation, or one of its pieces, as `media_type`, one of FORMS.

    Raises:
        NotFoundError: there is no such piece.
        SeveralPiecesError: there are several, and they cannot be had in that form.
        TooLongError: it lasts too long for that form.
    """
    if media_type == JSON:
        return JSONResponse(detail(store, key).model_dump(mode="json"), headers=headers)
    data = MAKERS[media_type](store, key)
    disposition = f'inline; filename="{key}{SUFFIXES[media_type]}"'
    return Response(data, media_type=media_type, headers={"Content-Disposition": disposition, **(headers or {})})


async def answer(store: ArtefactStore, key: str, media_type: str, headers: dict[str, str]) -> Response:
    """What `render` gives for a generation that was just made.

    In a thread of its own, unless all there is to do is to read a small local file, which takes less time than that.
    """
    if media_type == MIDI and store.is_local:
        return render(store, key, media_type, headers)
    return await run_in_threadpool(render, store, key, media_type, headers)


def view(record: dict[str, Any]) -> GenerationView:
    """A stored record as the API shows it."""
    notes = record["notes"]
    total = sum(notes) if isinstance(notes, list) else notes
    return GenerationView.model_validate({**record, "notes": total, "links": _links(record)})


def detail(store: ArtefactStore, key: str) -> GenerationDetail:
    """A generation with its pieces and, if there is only one, its frames and their log-likelihood."""
    record = piece_record(store, key)
    single = record["n"] == 1
    pieces = [PieceView.model_validate({**piece, "links": _links(piece)}) for piece in pieces_of(record)]
    return GenerationDetail(
        **view(record).model_dump(),
        pieces=pieces,
        frames=frames_of(store, record) if single else None,
        log_likelihood=log_likelihood_of(store, record) if single else None,
    )


def _links(record: dict[str, Any]) -> dict[str, str]:
    forms = {"midi": MIDI, "png": PNG, "wav": WAV, "zip": ZIP} if record["n"] == 1 else {"zip": ZIP}
    return {name: f"/generations/{record['id']}{SUFFIXES[form]}" for name, form in forms.items()}
