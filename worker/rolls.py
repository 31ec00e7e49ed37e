"""Rolls of stored corpora, made once for each way of sampling and kept beside the corpus. Free of torch."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from model.config import ModelConfig
from model.corpus import PackedRolls, read_rolls
from model.errors import CorpusError
from worker.corpora import PIECES
from worker.errors import NotFoundError, StoreError
from worker.store import CORPUS, ArtefactStore
from worker.uploads import read_pack

VERSION = 1
"""Raise it when the same pieces come to other rolls than before, or the file of rolls to another form."""
PREFIX = "rolls-"
KEPT = 8
"""Files of rolls that a corpus may have, the newest."""

logger = logging.getLogger(__name__)


def corpus_rolls(
    store: ArtefactStore, corpus: dict[str, Any], config: ModelConfig, *, on_piece: Callable[[], None] = lambda: None
) -> PackedRolls:
    """The rolls of a stored corpus, given by its record, as a model of that config sees them.

    Pieces that are too long at this time step are left out and named in `refused`. `on_piece` is called before each
    piece where the rolls have to be made, and may raise to end that.

    Raises:
        NotFoundError: the corpus is gone.
        StoreError: it cannot be read.
        CorpusError: nothing is left to learn from, or too much to hold.
    """
    name = _file_name(config)
    label = f"{corpus['digest']} {name} version {VERSION}"
    rolls = _kept(store, corpus["id"], name, label)
    if rolls is None:
        rolls = read_rolls(_pieces(store, corpus["id"], on_piece), config, strict=False)
        _keep(store, corpus["id"], name, label, rolls)
    return rolls


def _file_name(config: ModelConfig) -> str:
    step = f"dt{float(config.dt)}" if config.dt else f"beat{config.steps_per_beat}"
    low, high = config.pitch_range
    tonality = "" if config.tonality == "own" else f"-{config.tonality}"
    return f"{PREFIX}{step}-{low}-{high}{tonality}.npz"


def _pieces(store: ArtefactStore, corpus_id: str, on_piece: Callable[[], None]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a corpus's MIDI files, one at a time."""
    with store.open_file(CORPUS, corpus_id, PIECES) as file:
        for piece in read_pack(file):
            on_piece()
            yield piece


def _kept(store: ArtefactStore, corpus_id: str, name: str, label: str) -> PackedRolls | None:
    """The rolls in that file, if it is there and holds what it should."""
    try:
        with store.open_file(CORPUS, corpus_id, name) as file:
            return PackedRolls.load(file, label)
    except NotFoundError:
        return None
    except CorpusError as error:
        logger.warning("%s of corpus %s is made again: %s", name, corpus_id, error)
        return None


def _keep(store: ArtefactStore, corpus_id: str, name: str, label: str, rolls: PackedRolls) -> None:
    """Save the rolls for the next training; this one goes on without that, too."""
    try:
        with store.new_file(CORPUS, corpus_id, name) as file:
            rolls.save(file, label)
        store.keep_newest(CORPUS, corpus_id, PREFIX, KEPT)
        store.sweep(CORPUS, corpus_id)
    except StoreError as error:
        logger.warning("the rolls of corpus %s are not kept: %s", corpus_id, error)
