"""The frames that are given of a piece, within its job: packed, 20,000 of music take some 40 kB.

What a generate worker needs of them; they come from files (worker.given_files).
"""

import base64
import zlib

import numpy as np

from model.infilling import PARTICLES
from model.pianoroll import Roll
from worker.protocol import GenerateJob


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


def pack(roll: Roll) -> str:
    """A roll (frames, n_visible) as text."""
    return base64.b64encode(zlib.compress(np.packbits(roll, axis=1).tobytes())).decode()


def _unpack(packed: str, job: GenerateJob) -> Roll:
    n_visible = job.keys[1] - job.keys[0]
    rows = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8).reshape(-1, -(-n_visible // 8))
    return np.unpackbits(rows, axis=1, count=n_visible).view(np.bool_)
