"""From an upload to a stored corpus. Free of torch."""

from collections.abc import Iterable
from typing import Any, BinaryIO

from worker.protocol import new_id
from worker.settings import Settings
from worker.store import CORPUS, ArtefactStore, now
from worker.uploads import Upload, read_upload

PIECES = "pieces.zip"
FRAMES_PER_BEAT = 2


def ingest(store: ArtefactStore, files: Iterable[tuple[str, BinaryIO]], settings: Settings) -> dict[str, Any]:
    """Read uploaded files and store what is usable; the corpus's record. The same content is stored once.

    Raises:
        UploadError: nothing is usable.
    """
    with read_upload(files, settings) as upload:
        content = upload.digest()
        record = store.corpus_with(content)
        if record is None:
            record = _describe(upload, content)
            with store.new_file(CORPUS, record["id"], PIECES) as file:
                upload.pack(file)
            store.publish_corpus(record)
    refused = [refusal.model_dump() for refusal in upload.refused]
    return {**record, "files": len(upload.pieces) + len(refused), "refused": refused}


def _describe(upload: Upload, content: str) -> dict[str, Any]:
    totals = upload.totals
    return {
        "id": new_id(),
        "digest": content,
        "files": len(upload.pieces) + len(upload.refused),
        "usable": len(upload.pieces),
        "frames": round(totals.beats * FRAMES_PER_BEAT),
        "notes": totals.notes,
        "seconds": round(totals.seconds, 1),
        "tempo": round(totals.tempo, 2),
        "refused": [refusal.model_dump() for refusal in upload.refused],
        "created_at": now(),
    }
