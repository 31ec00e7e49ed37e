"""Other forms of a stored piece, made from its roll when first asked for. Free of torch."""

from typing import Any

import numpy as np

from model.config import Sampling
from model.pianoroll import Roll
from model.plot import roll_png
from worker.errors import NotFoundError
from worker.store import GENERATION, ArtefactStore


def picture_of(store: ArtefactStore, key: str) -> bytes:
    """The piano-roll of a generation as PNG, kept in the store.

    Raises:
        NotFoundError: there is no such generation.
    """
    try:
        return store.file(GENERATION, key, "piece.png")
    except NotFoundError:
        record = store.record(GENERATION, key)
    title = f"{record['model_name']} · seed {record['seed']}"
    png = roll_png(_roll(store, record), sampling=_sampling(record), pitch_range=_range(record), title=title)
    store.write_file(GENERATION, key, "piece.png", png)
    return png


def frames_of(store: ArtefactStore, record: dict[str, Any]) -> list[list[int]]:
    """The sounding MIDI notes of each frame of a generation, by its record."""
    low, _ = _range(record)
    return [(frame.nonzero()[0] + low).tolist() for frame in _roll(store, record)]


def _roll(store: ArtefactStore, record: dict[str, Any]) -> Roll:
    low, high = _range(record)
    bits = np.frombuffer(store.file(GENERATION, record["id"], "piece.roll"), np.uint8)
    cells = record["length"] * (high - low)
    return np.unpackbits(bits, count=cells).astype(bool).reshape(record["length"], high - low)


def _sampling(record: dict[str, Any]) -> Sampling:
    return Sampling(record["dt"], record["steps_per_beat"])


def _range(record: dict[str, Any]) -> tuple[int, int]:
    low, high = record["pitch_range"]
    return low, high
