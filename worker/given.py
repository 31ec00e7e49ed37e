"""An uploaded MIDI file that a piece goes on from (`primer`) or is filled in around (`source`). Free of torch.

It is read when it is sent, so that what is wrong with it is said at once, and its frames go to the worker within the
job: packed, 20,000 of music take some 40 kB.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from model.config import Sampling
from model.errors import MidiError
from model.infilling import PARTICLES
from model.midi import Bounds, TrackRolls, describe, read_track_rolls
from model.pianoroll import Roll
from model.regions import Region, RegionError, kept_cells
from worker.errors import ParameterError, UploadError
from worker.protocol import GenerateJob, GenerateParams, Given, KeptRegion, keys_of

Role = Literal["primer", "source"]

MOST_CHARACTERS = 128 * 1024
"""Of a packed roll: Redis holds it until the job is forgotten."""


@dataclass(frozen=True)
class GivenFile:
    """An uploaded file and what it is for."""

    role: Role
    name: str
    data: bytes


def read_given(file: GivenFile, params: GenerateParams, config: dict[str, Any], most_frames: int) -> Given:
    """The frames of a file at the time step and the keys of a model, by its config.

    Raises:
        UploadError: the file cannot be read, has nothing in it, or does not fit the model.
        ParameterError: nothing is said of what is to be kept of a source, or what is said makes no sense.
    """
    keys = keys_of(config, params.transpose)
    try:
        piece = _read(file.data, Sampling(config["dt"], config["steps_per_beat"]), keys, most_frames)
        kept = _kept(params.keep, piece, keys) if file.role == "source" else None
        return Given(
            role=file.role,
            length=len(piece.roll),
            roll=_pack(piece.roll),
            kept=None if kept is None else _pack(kept),
            tempo=describe(file.data).tempo,
        )
    except MidiError as error:
        reason = str(error)
        raise UploadError(f"{file.role}: {file.name}: {reason}", [{"file": file.name, "reason": reason}]) from error


def _read(data: bytes, sampling: Sampling, keys: tuple[int, int], most_frames: int) -> TrackRolls:
    piece = read_track_rolls(data, sampling, keys, Bounds(max_frames=most_frames))
    if not piece.roll.any():
        raise MidiError("no note sounds at any of the model's time steps")
    return piece


def _kept(keep: Sequence[KeptRegion] | None, piece: TrackRolls, keys: tuple[int, int]) -> Roll:
    if keep is None:
        raise ParameterError("keep", 'say what stays of the source, as in [{"tracks": [0]}]')
    try:
        return kept_cells([Region(**region.model_dump()) for region in keep], piece, keys)
    except RegionError as error:
        raise ParameterError(error.field, str(error).removeprefix(f"{error.field}: ")) from error


def primer_of(job: GenerateJob) -> Roll | None:
    """The frames (frames, n_visible) that the piece begins with, if it has a primer."""
    return _unpack(job.given.roll, job) if job.given and job.given.role == "primer" else None


def kept_of(job: GenerateJob) -> Roll | None:
    """Which cells (frames, n_visible) are as in the source, if there is one."""
    return _unpack(job.given.kept, job) if job.given and job.given.kept is not None else None


def clamp_of(job: GenerateJob) -> tuple[Roll, Roll] | None:
    """The piece as far as it is given and where that is, each (length, n_visible); None if all is free but a primer."""
    if not _is_clamped(job):
        return None
    given = job.given
    source, kept = np.zeros((2, job.length, job.keys[1] - job.keys[0]), np.bool_)
    if given is not None:
        source[: given.length] = _unpack(given.roll, job)
        kept[: given.length] = True if given.kept is None else _unpack(given.kept, job)
    if job.pitch_range is not None:
        keys = np.arange(*job.keys)
        outside = (keys < job.pitch_range[0]) | (keys >= job.pitch_range[1])
        source[:, outside] &= kept[:, outside]  # what is kept of a source stays, wherever it is
        kept[:, outside] = True
    return source, kept


def _is_clamped(job: GenerateJob) -> bool:
    return job.pitch_range is not None or (job.given is not None and job.given.role == "source")


def particles_of(job: GenerateJob) -> int:
    """Particles of a clamp: many for a source, which is known to its end; a narrow range is the same at every frame."""
    return PARTICLES if job.given and job.given.role == "source" else 1


def gibbs_steps_of(job: GenerateJob) -> int:
    """Gibbs steps of all pieces, at most."""
    if not _is_clamped(job):
        return job.n * (job.length - job.primer_length) * job.gibbs_steps
    return job.n * job.length * particles_of(job) * (2 * job.gibbs_steps + 1)


def _pack(roll: Roll) -> str:
    packed = base64.b64encode(zlib.compress(np.packbits(roll, axis=1).tobytes())).decode()
    if len(packed) > MOST_CHARACTERS:
        raise MidiError("there is too much in the piece: cut it into shorter ones")
    return packed


def _unpack(packed: str, job: GenerateJob) -> Roll:
    n_visible = job.keys[1] - job.keys[0]
    rows = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8).reshape(-1, -(-n_visible // 8))
    return np.unpackbits(rows, axis=1, count=n_visible).view(np.bool_)
