"""The rolls that benchmark figures are measured on, as one .npz for each set and split.

`frames`: uint8 (frames, 11), the 88 keys of each frame as bits, A0 first, as `np.packbits` packs a row; all pieces one
after another. `lengths`: frames of each piece.
"""

from typing import IO

import numpy as np

from model.config import PIANO, ModelConfig
from model.corpus import UNREADABLE_NPZ, PackedRolls
from model.errors import CorpusError
from model.pianoroll import Roll

N_KEYS = PIANO[1] - PIANO[0]


def read_benchmark_rolls(file: IO[bytes], config: ModelConfig) -> PackedRolls:
    """The rolls of a seekable .npz file in a model's pitch range; its time step is taken to be the model's.

    Raises:
        CorpusError: the file is damaged or holds something else.
    """
    try:
        with np.load(file) as arrays:
            bits, lengths = arrays["frames"], arrays["lengths"].astype(np.int64)
    except UNREADABLE_NPZ as error:
        raise CorpusError(f"the file of rolls cannot be read: {error}") from error
    if bits.dtype != np.uint8 or bits.ndim != 2 or bits.shape[1] != -(-N_KEYS // 8):
        raise CorpusError(f"frames must be uint8 (frames, {-(-N_KEYS // 8)}), not {bits.dtype} {bits.shape}")
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != len(bits) or not len(bits):
        raise CorpusError(f"lengths must be those of pieces with {len(bits):,} frames together")
    rolls = PackedRolls(bits, np.concatenate([[0], lengths.cumsum()]), N_KEYS)
    if config.pitch_range == PIANO:
        return rolls
    return PackedRolls.pack((_within(roll, config.pitch_range) for roll in rolls), config.n_visible)


def _within(roll: Roll, pitch_range: tuple[int, int]) -> Roll:
    """A roll of the piano's keys (frames, 88) in another range (frames, n_visible)."""
    low, high = pitch_range
    first, last = max(low, PIANO[0]), min(high, PIANO[1])
    moved = np.zeros((len(roll), high - low), np.bool_)
    if first < last:
        moved[:, first - low : last - low] = roll[:, first - PIANO[0] : last - PIANO[0]]
    return moved
