"""The pieces of a generation and their forms, made from the stored roll when first asked for. Free of torch.

A generation of one piece is that piece. Of several, `ID-i` names piece i, whose record is the generation's with a seed
and a number of notes of its own.
"""

import io
import zipfile
from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artefact import from_bytes
from model.audio import roll_wav
from model.config import Sampling
from model.kernel import best
from model.likelihood import piece_log_likelihood
from model.midi_writer import write_midi
from model.pianoroll import Roll
from worker.errors import NotFoundError, SeveralPiecesError, TooLongError
from worker.protocol import SEEDS
from worker.store import GENERATION, MODEL, ArtefactStore

ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in a zip, so that the same pieces are the same bytes."""
LONGEST_AUDIO = 900.0
"""Seconds: 40 MB, and three times as much memory while it is made."""


def piece_record(store: ArtefactStore, key: str) -> dict[str, Any]:
    """The record of a generation or, where the key names one, of one of its pieces.

    Raises:
        NotFoundError: there is no such generation, or it has no such piece.
    """
    generation, _, index = key.partition("-")
    record = store.record(GENERATION, generation)
    if not index:
        return record
    if record["n"] == 1 or index not in map(str, range(record["n"])):
        raise NotFoundError(GENERATION, key)
    return _piece(record, int(index))


def pieces_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of a generation's pieces."""
    return [record] if record["n"] == 1 else [_piece(record, i) for i in range(record["n"])]


def _piece(record: dict[str, Any], index: int) -> dict[str, Any]:
    own = {"id": f"{record['id']}-{index}", "seed": (record["seed"] + index) % SEEDS, "notes": record["notes"][index]}
    return {**record, **own, "n": 1}


def midi_of(store: ArtefactStore, key: str) -> bytes:
    """A piece as a MIDI file.

    Raises:
        NotFoundError: there is no such piece.
        SeveralPiecesError: the generation has several.
    """
    if "-" not in key:
        try:
            return store.file(GENERATION, key, "piece.mid")
        except NotFoundError:
            pass
    record = _single(store, key)
    return _midi(record, _roll(store, record))


def picture_of(store: ArtefactStore, key: str) -> bytes:
    """The piano-roll of a piece as PNG, kept in the store.

    Raises:
        NotFoundError: there is no such piece.
        SeveralPiecesError: the generation has several.
    """
    return _kept(store, _single(store, key), "png", partial(_picture, store))


def audio_of(store: ArtefactStore, key: str) -> bytes:
    """How a piece sounds, as WAV, kept in the store.

    Raises:
        NotFoundError: there is no such piece.
        SeveralPiecesError: the generation has several.
        TooLongError: it lasts too long.
    """
    record = _single(store, key)
    check_audio(record["length"] * record["step_seconds"])
    return _kept(store, record, "wav", _audio)


def check_audio(seconds: float) -> None:
    """Return if a piece of that length can be had as audio.

    Raises:
        TooLongError: it cannot.
    """
    if seconds > LONGEST_AUDIO:
        raise TooLongError(
            f"the piece lasts {seconds / 60:.0f} minutes, and audio is made of {LONGEST_AUDIO / 60:.0f} at most: "
            "take it as audio/midi"
        )


def log_likelihood_of(store: ArtefactStore, record: dict[str, Any]) -> float | None:
    """Log-likelihood of a single piece, by its record, under its model, in nats per frame; kept in the store.

    None where nobody can tell: the model is gone, or neither this machine has the compiled kernel nor did the worker
    compute it.
    """
    try:
        value = _log_likelihood(store, record)
    except NotFoundError:
        return None
    return value if value is not None and isfinite(value) else None  # JSON has no word for the others


def zip_of(store: ArtefactStore, key: str) -> bytes:
    """A zip of the MIDI files of all pieces of a generation, or of the one piece.

    Raises:
        NotFoundError: there is no such generation.
    """
    record = piece_record(store, key)
    packed = _packed(store, record)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for piece in pieces_of(record):
            archive.writestr(
                zipfile.ZipInfo(f"{piece['id']}.mid", ZIP_TIME), _midi(piece, _unpacked(packed[_index(piece)], piece))
            )
    return buffer.getvalue()


def frames_of(store: ArtefactStore, record: dict[str, Any]) -> list[list[int]]:
    """The sounding MIDI notes of each frame of a piece, by its record."""
    low, _ = _range(record)
    return [(frame.nonzero()[0] + low).tolist() for frame in _roll(store, record)]


def _log_likelihood(store: ArtefactStore, record: dict[str, Any]) -> float | None:
    if (known := record.get("log_likelihood")) is not None:
        return float(known[_index(record)])
    kernel = best()
    if kernel is None:
        return None

    def compute(record: dict[str, Any], roll: Roll) -> bytes:
        parameters = from_bytes(store.file(MODEL, record["model"], "model.safetensors"))
        return repr(piece_log_likelihood(parameters, roll, "cpu", kernel)).encode()

    return float(_kept(store, record, "log_likelihood", compute))


def _kept(
    store: ArtefactStore, record: dict[str, Any], suffix: str, make: Callable[[dict[str, Any], Roll], bytes]
) -> bytes:
    """A form of a piece from the store, where it is put once it is made."""
    generation, _, index = record["id"].partition("-")
    name = f"piece{'-' * bool(index)}{index}.{suffix}"
    try:
        return store.file(GENERATION, generation, name)
    except NotFoundError:
        data = make(record, _roll(store, record))
    store.write_file(GENERATION, generation, name, data)
    store.sweep(GENERATION, generation)  # it may have been deleted in the meantime
    return data


def _single(store: ArtefactStore, key: str) -> dict[str, Any]:
    record = piece_record(store, key)
    if record["n"] > 1:
        raise SeveralPiecesError(key, record["n"])
    return record


def _index(record: dict[str, Any]) -> int:
    """Which of its generation's pieces a record is of."""
    return int(record["id"].partition("-")[2] or 0)


def _packed(store: ArtefactStore, record: dict[str, Any]) -> NDArray[np.uint8]:
    """The rolls of all pieces of the record's generation, a bit a cell: a row for each."""
    bits = np.frombuffer(store.file(GENERATION, record["id"].partition("-")[0], "piece.roll"), np.uint8)
    low, high = _range(record)
    return bits.reshape(-1, -(-record["length"] * (high - low) // 8))


def _unpacked(bits: NDArray[np.uint8], record: dict[str, Any]) -> Roll:
    """A roll (length, n_visible) from its bits."""
    low, high = _range(record)
    cells = np.unpackbits(bits, count=record["length"] * (high - low))
    return cells.view(np.bool_).reshape(record["length"], high - low)


def _roll(store: ArtefactStore, record: dict[str, Any]) -> Roll:
    """The roll (length, n_visible) of a piece, by its record; those beside it stay packed."""
    return _unpacked(_packed(store, record)[_index(record)], record)


def _midi(record: dict[str, Any], roll: Roll) -> bytes:
    return write_midi(
        roll,
        step_seconds=record["step_seconds"],
        pitch_range=_range(record),
        tempo=record["tempo"],
        program=record.get("program", 0),
    )


def _audio(record: dict[str, Any], roll: Roll) -> bytes:
    return roll_wav(roll, step_seconds=record["step_seconds"], lowest=_range(record)[0])


def _picture(store: ArtefactStore, record: dict[str, Any], roll: Roll) -> bytes:
    from model.plot import roll_png  # noqa: PLC0415 (pictures are rarer than pieces, and take a while to load)

    title = f"{record['model_name']} · seed {record['seed']}{_legend(record)}"
    sampling = Sampling(record["dt"], record["steps_per_beat"])
    given = _given(store, record)
    return roll_png(roll, sampling=sampling, pitch_range=_range(record), title=title, given=given)


def _legend(record: dict[str, Any]) -> str:
    if record.get("keep"):
        return " · what was kept is grey"
    return " · the primer is grey" if record.get("primer_length") else ""


def _given(store: ArtefactStore, record: dict[str, Any]) -> Roll:
    """Which cells (length, n_visible) of a piece were not sampled but sent."""
    low, high = _range(record)
    given = np.zeros((record["length"], high - low), np.bool_)
    given[: record.get("primer_length", 0)] = True
    if record.get("keep"):
        bits = np.frombuffer(store.file(GENERATION, record["id"].partition("-")[0], "kept.roll"), np.uint8)
        given[:] = _unpacked(bits, record)
    return given


def _range(record: dict[str, Any]) -> tuple[int, int]:
    """The MIDI notes of a roll's columns, [low, high)."""
    low, high = record.get("keys", record["pitch_range"])  # in older records they are the same
    return low, high
