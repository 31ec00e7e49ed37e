"""The forms in which a generated piece can be had."""

from fastapi import Response
from fastapi.responses import JSONResponse

from service.schemas import GenerationDetail, GenerationView
from worker.rendering import frames_of, picture_of
from worker.store import GENERATION, ArtefactStore

MIDI, PNG, JSON = "audio/midi", "image/png", "application/json"
FORMS = (MIDI, PNG, JSON)
SUFFIXES = {MIDI: ".mid", PNG: ".png"}


def render(store: ArtefactStore, key: str, media_type: str, headers: dict[str, str] | None = None) -> Response:
    """The piece as `media_type`, one of FORMS.

    Raises:
        NotFoundError: there is no such piece.
    """
    if media_type == JSON:
        return JSONResponse(detail(store, key).model_dump(mode="json"), headers=headers)
    data = store.file(GENERATION, key, "piece.mid") if media_type == MIDI else picture_of(store, key)
    disposition = f'inline; filename="{key}{SUFFIXES[media_type]}"'
    return Response(data, media_type=media_type, headers={"Content-Disposition": disposition, **(headers or {})})


def view(record: dict[str, object]) -> GenerationView:
    """A stored record as the API shows it."""
    links = {name: f"/generations/{record['id']}{suffix}" for name, suffix in (("midi", ".mid"), ("png", ".png"))}
    return GenerationView.model_validate({**record, "links": links})


def detail(store: ArtefactStore, key: str) -> GenerationDetail:
    """A piece with its frames."""
    record = store.record(GENERATION, key)
    return GenerationDetail.model_validate({**view(record).model_dump(), "frames": frames_of(store, record)})
