"""From an upload to a stored corpus. Free of torch."""

from collections.abc import Iterable
from datetime import UTC, datetime
from statistics import median
from typing import Any, BinaryIO

from worker.protocol import new_id
from worker.settings import Settings
from worker.store import ArtefactStore
from worker.uploads import Upload, digest, pack, read_upload

FRAMES_PER_BEAT = 2


def ingest(store: ArtefactStore, files: Iterable[tuple[str, BinaryIO]], settings: Settings) -> dict[str, Any]:
    """Read uploaded files and store what is usable; the corpus's record. The same content is stored once.

    Raises:
        UploadError: nothing is usable.
    """
    upload = read_upload(files, settings)
    content = digest(upload.pieces)
    record = store.corpus_with(content)
    if record is None:
        record = _describe(upload, content)
        store.publish_corpus(record, pack(upload.pieces))
    refused = [refusal.model_dump() for refusal in upload.refused]
    return {**record, "files": len(upload.pieces) + len(refused), "refused": refused}


def _describe(upload: Upload, content: str) -> dict[str, Any]:
    infos = [piece.info for piece in upload.pieces]
    return {
        "id": new_id(),
        "digest": content,
        "files": len(infos) + len(upload.refused),
        "usable": len(infos),
        "frames": round(sum(info.beats for info in infos) * FRAMES_PER_BEAT),
        "notes": sum(info.notes for info in infos),
        "seconds": round(sum(info.seconds for info in infos), 1),
        "tempo": round(median(info.tempo for info in infos), 2),
        "refused": [refusal.model_dump() for refusal in upload.refused],
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
