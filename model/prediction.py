"""Frames drawn by a model with a gated recurrence after the true frames before them. Free of torch."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from model.drawing import BEST_START, BEST_STEPS
from model.gated_sampler import GatedSampler
from model.kernel import STARTS, Drawing, Frames
from model.pianoroll import Roll


def predictions(
    sampler: GatedSampler, pieces: Sequence[Roll], rows: NDArray[np.int64], first: int, seeds: Sequence[int]
) -> Frames:
    """Frames that could have been where `rows` of some pieces, one after another, are: (seeds, rows, n_visible).

    Each is drawn by NADE after the true frames before it in its piece, once for each seed. Frame t takes the random
    numbers of frame `first + t`, so that it is the same whichever other pieces are there.
    """
    starts = np.cumsum([0, *map(len, pieces)])

    def predict(index: int) -> Frames:
        begin, end = starts[index : index + 2]
        own = rows[np.searchsorted(rows, begin) : np.searchsorted(rows, end)] - begin
        return _of_a_piece(sampler, pieces[index], own, first + int(begin), np.array(seeds, np.uint64))

    with ThreadPoolExecutor(sampler.threads) as pool:
        return np.concatenate(list(pool.map(predict, range(len(pieces)))), axis=1)


def _of_a_piece(
    sampler: GatedSampler, roll: Roll, rows: NDArray[np.int64], first: int, seeds: NDArray[np.uint64]
) -> Frames:
    maker, room = sampler.pieces, len(roll)
    drawing = Drawing(1.0, BEST_STEPS, STARTS[BEST_START])
    found = np.empty((len(seeds), len(rows), roll.shape[1]), np.bool_)
    piece, heard = maker.begin(1, room), 0
    for i, t in enumerate(rows.tolist()):
        maker.hear(piece, room, roll[heard:t])
        own = maker.copies(piece, np.zeros(len(seeds), np.intp))
        found[:, i] = maker.generate(own, room, drawing, seeds, first + t, first + t + 1)[0][:, 0]
        heard = t
    return found
