"""What is kept of a piece that is filled in: regions of pitch, time and tracks.

A region that names no tracks keeps all its cells as they are, sounding or silent. One that does keeps sounding what
these tracks sound in it; its other cells are free, for other voices to take.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.errors import ModelError
from model.midi import TrackRolls
from model.pianoroll import Roll


class RegionError(ModelError):
    """A region that holds nothing of the piece; `field` names what is wrong with it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


@dataclass(frozen=True)
class Region:
    """The cells that lie in all that is given; what is None leaves them all."""

    pitches: tuple[int, int] | None = None
    """MIDI notes, half-open."""
    steps: tuple[int, int] | None = None
    """Frames, half-open, the first is 0."""
    tracks: Sequence[int] | None = None
    """Indices into the piece's `TrackRolls`."""


def kept_cells(regions: Sequence[Region], piece: TrackRolls, pitch_range: tuple[int, int]) -> Roll:
    """Which cells of a piece stay as they are, (frames, n_visible); none where there is no region.

    A region may reach beyond the piece or the pitch range, but must have a part in both.

    Raises:
        RegionError: it has not, or names a track that is not there; its `field` is, say, `keep[0].steps`.
    """
    kept = np.zeros_like(piece.roll)
    for index, region in enumerate(regions):
        name = f"keep[{index}]"
        low, _ = pitch_range
        rows = _part(f"{name}.steps", region.steps, (0, len(kept)), "the piece's steps")
        keys = _part(f"{name}.pitches", region.pitches, pitch_range, "the model's pitches")
        part = np.s_[rows[0] : rows[1], keys[0] - low : keys[1] - low]
        if region.tracks is None:
            kept[part] = True
        else:
            kept[part] |= _sounding(f"{name}.tracks", region.tracks, piece)[part]
    return kept


def _part(field: str, wanted: tuple[int, int] | None, whole: tuple[int, int], what: str) -> tuple[int, int]:
    """What a half-open range has in common with the whole."""
    if wanted is None:
        return whole
    first, end = wanted
    if first >= end:
        raise RegionError(field, f"[{first}, {end}) is empty: it is to be [first, end) with first < end")
    if first >= whole[1] or end <= whole[0]:
        raise RegionError(field, f"[{first}, {end}) lies outside {what}, [{whole[0]}, {whole[1]})")
    return max(first, whole[0]), min(end, whole[1])


def _sounding(field: str, tracks: Sequence[int], piece: TrackRolls) -> Roll:
    """Where any of these tracks sounds."""
    if not tracks:
        raise RegionError(field, "no track is named")
    if missing := [track for track in tracks if not 0 <= track < len(piece)]:
        raise RegionError(field, f"there is no track {missing[0]}: the piece has {len(piece)}, numbered from 0")
    sounding = np.zeros_like(piece.roll)
    for track in set(tracks):
        sounding |= piece[track]
    return sounding
