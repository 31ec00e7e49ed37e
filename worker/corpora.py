"""From an upload to a stored corpus, and what is shown of one. Free of torch."""

import json
import os
import shutil
from collections.abc import Iterable
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field

from worker.errors import NotFoundError
from worker.protocol import ModelName, new_id
from worker.settings import Settings
from worker.store import CORPUS, ArtefactStore, now
from worker.uploads import Upload, read_upload

PIECES, REPORT, STATISTICS, PICTURE = "pieces.zip", "files.jsonl", "statistics.json", "statistics.png"
FRAMES_PER_BEAT = 2


class CorpusParams(BaseModel):
    """The `config` of POST /corpora."""

    model_config = ConfigDict(extra="forbid")

    name: ModelName | None = None
    description: str | None = Field(None, max_length=2000)


def ingest(
    store: ArtefactStore, files: Iterable[tuple[str, BinaryIO]], settings: Settings, said: CorpusParams | None = None
) -> dict[str, Any]:
    """Read uploaded files and store what is usable; the corpus's record.

    The same content is stored once. A name or description that comes with it then is the corpus's from now on.

    Raises:
        UploadError: nothing is usable.
    """
    about = said.model_dump(exclude_none=True) if said else {}
    with read_upload(files, settings) as upload:
        content = upload.digest()
        record = store.corpus_with(content)
        if record is None:
            record = {**_describe(upload, content), **about}
            _keep(store, record, upload)
        elif about:
            record = store.update(CORPUS, record["id"], about)
            store.remove_file(CORPUS, record["id"], PICTURE)  # it has the name in its title
    refused = [refusal.model_dump() for refusal in upload.refused]
    return {**record, "files": len(upload.pieces) + len(refused), "refused": refused}


def _describe(upload: Upload, content: str) -> dict[str, Any]:
    overview = upload.overview
    return {
        "id": new_id(),
        "name": None,
        "description": None,
        "digest": content,
        "files": len(upload.pieces) + len(upload.refused),
        "usable": len(upload.pieces),
        "frames": round(overview.beats * FRAMES_PER_BEAT),
        "notes": overview.notes,
        "seconds": round(overview.seconds, 1),
        "tempo": round(overview.tempo, 2),
        "refused": [refusal.model_dump() for refusal in upload.refused],
        "created_at": now(),
    }


def _keep(store: ArtefactStore, record: dict[str, Any], upload: Upload) -> None:
    """Write the files of a new corpus and then its record."""
    with store.new_file(CORPUS, record["id"], PIECES) as file:
        upload.pack(file)
    with store.new_file(CORPUS, record["id"], REPORT) as file:
        upload.report.seek(0)
        shutil.copyfileobj(upload.report, file)
    store.write_file(CORPUS, record["id"], STATISTICS, json.dumps(upload.overview.to_dict()).encode())
    store.publish_corpus(record)


def file_page(
    store: ArtefactStore, corpus_id: str, after: int | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """The report on a corpus's files, as they were when it was first uploaded, and the cursor of what follows.

    A cursor is a position in the report; from one within a file's line it goes on with the next.

    Raises:
        NotFoundError: there is no such corpus.
    """
    store.record(CORPUS, corpus_id)
    with store.open_file(CORPUS, corpus_id, REPORT) as file:
        if after is not None:
            end = file.seek(0, os.SEEK_END)  # no file system can seek to any position
            file.seek(min(after - 1, end))
            file.readline()
        lines = [line for _ in range(limit) if (line := file.readline())]
        end = file.tell()
        more = file.read(1) != b""
    return [json.loads(line) for line in lines], str(end) if more else None


def statistics(store: ArtefactStore, corpus_id: str) -> dict[str, Any]:
    """The distributions of a corpus, as `model.overview` counts them.

    Raises:
        NotFoundError: there is no such corpus.
    """
    found: dict[str, Any] = json.loads(store.file(CORPUS, corpus_id, STATISTICS))
    return found


def picture(store: ArtefactStore, corpus_id: str) -> bytes:
    """The statistics of a corpus as PNG, drawn once.

    Raises:
        NotFoundError: there is no such corpus.
    """
    record = store.record(CORPUS, corpus_id)
    try:
        return store.file(CORPUS, corpus_id, PICTURE)
    except NotFoundError:
        from model.overview_plot import overview_png  # noqa: PLC0415 (matplotlib, half a second only pictures need)

        title = f"{record['name'] or corpus_id}: {record['usable']:,} pieces"
        drawn = overview_png(statistics(store, corpus_id), title=title)
        store.write_file(CORPUS, corpus_id, PICTURE, drawn)
        store.sweep(CORPUS, corpus_id)
        return drawn
