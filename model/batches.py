"""Which frames each update of a training takes. It depends on seed and epoch only, so a resumed epoch repeats it."""

from itertools import cycle

import numpy as np

from model.config import TrainingConfig
from model.training_set import Excerpt, TrainingSet

PHRASE = 48
"""Frames: whoever begins a multiple of them later is at the same place in all periods of model.memory."""
SHORTEST, LONGEST = 2, 5
"""Phrases of the parts that a piece is cut into."""

Batch = list[list[Excerpt]]
"""What an update takes: several sequences side by side, each of them one excerpt or several, one after another."""


def shuffled(training: TrainingSet, config: TrainingConfig, epoch: int) -> list[Batch]:
    """One excerpt a sequence, each of which begins with nothing heard.

    One sequence at a time: pieces are shuffled and their excerpts follow each other, as in the tutorial.
    Several at a time: the excerpts of all pieces are shuffled.
    """
    order = np.random.default_rng((config.seed, epoch))
    semitones = training.transpositions(config, epoch).tolist()
    lengths, size = training.lengths.tolist(), config.batch_size
    batches: list[Batch] = []
    while len(batches) < config.min_updates:
        excerpts = [
            Excerpt(piece, start, min(start + size, lengths[piece]), semitones[piece])
            for piece in order.permutation(len(lengths)).tolist()
            for start in range(0, lengths[piece], size)
        ]
        if config.n_parallel > 1:
            excerpts = [excerpts[i] for i in order.permutation(len(excerpts)).tolist()]
        starts = range(0, len(excerpts), config.n_parallel)
        batches += [[[excerpt] for excerpt in excerpts[i : i + config.n_parallel]] for i in starts]
    return batches


def streams(training: TrainingSet, config: TrainingConfig, epoch: int) -> list[Batch]:
    """`n_parallel` sequences that go on from update to update, `batch_size` frames each, piece after piece.

    The pieces are dealt so that the sequences are of nearly equal length; who comes to an end early begins again.
    """
    order = np.random.default_rng((config.seed, epoch))
    parts = _parts(training, config, epoch)
    parts = [parts[i] for i in order.permutation(len(parts)).tolist()]
    dealt: list[list[Excerpt]] = [[] for _ in range(config.n_parallel)]
    sums = np.zeros(config.n_parallel, np.int64)
    for part in parts:
        shortest = int(sums.argmin())
        dealt[shortest].append(part)
        sums[shortest] += part.stop - part.start
    n_updates = max(-(-int(sums.max()) // config.batch_size), config.min_updates)
    sequences = [_cut(own or parts, config.batch_size, n_updates) for own in dealt]
    return [list(batch) for batch in zip(*sequences, strict=True)]


def _parts(training: TrainingSet, config: TrainingConfig, epoch: int) -> list[Excerpt]:
    """All pieces, some of them in several parts."""
    random = np.random.default_rng((config.seed, epoch, 5))
    semitones = training.transpositions(config, epoch).tolist()
    parts = []
    for piece, length in enumerate(training.lengths.tolist()):
        is_cut = random.random() < config.split
        size = PHRASE * int(random.integers(SHORTEST, LONGEST + 1)) if is_cut else max(length, 1)
        for begin in range(0, length, size):
            parts.append(Excerpt(piece, begin, min(begin + size, length), semitones[piece], begin))
    return parts


def _cut(parts: list[Excerpt], size: int, n: int) -> list[list[Excerpt]]:
    """The first `n` times `size` frames of some parts, repeated one after another."""
    rows: list[list[Excerpt]] = [[]]
    room = size
    for part in cycle(parts):
        start = part.start
        while start < part.stop:
            if not room:
                if len(rows) == n:
                    return rows
                rows.append([])
                room = size
            stop = min(start + room, part.stop)
            rows[-1].append(part._replace(start=start, stop=stop))
            room -= stop - start
            start = stop
    return rows
