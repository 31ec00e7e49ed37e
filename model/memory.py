"""A memory of the piece: what the frames heard so far say about the next one, as numbers that a network takes.

Music repeats itself. For every earlier frame the memory keeps how well the frames that led to it agree with the
latest ones, and offers what followed there. A context is made of the frames before only, frame by frame and the same
way in training and in generation, so a primer's themes are remembered too.

The agreement of two frames is the share of their notes that they have in common, a = |x & y| / |x | y|, 1 where both
are silent. That of two positions adds up backwards: M[t, j] = a(t, j) (1 + M[t - 1, j - 1]), so it counts the frames
of a stretch that is the same, and a slip shortens it without ending it.

For each key, in planes (the frame that is predicted is t + 1):

0, 1    the last frame x_t and the one before
2       what followed the position of the largest agreement, the latest of equals
3       the same among positions at least `FAR` frames back, where sustained notes do not win
4, 5    what followed at all positions, weighted by M^8 and by M^2
6, 7, 8 how much the key has sounded lately: means with decays of 4, 16 and 64 frames
9       plane 7 summed over octaves

and for the frame as a whole, which counts beside the planes: which span the two largest agreements lie in, and the
position t + 1 modulo `PERIODS`, whether nothing was heard yet, and `MOVED`.
"""

import numpy as np
from numpy.typing import NDArray

FAR = 12
SPANS = np.array([0.25, 0.75, 1.5, 2.5, 4.5, 8.5, 16.5], np.float32)
"""Bounds of the spans of agreement that are told apart."""
PERIODS = (2, 3, 4, 6, 8, 12, 16)
DECAYS = np.array([1 - 1 / 4, 1 - 1 / 16, 1 - 1 / 64], np.float32)
WINDOW = 4096
"""Frames that are remembered."""

REACH = 12
"""Keys to either side of one of which the pitch-tied layer sees the context."""
BELOW = 48
"""Keys below one that it sees of the frame itself, for NADE."""
N_PLANES = 10
HEARD = (0, 2, 3, 4)
"""Planes that the recurrence takes; the pitch-tied layer takes all."""
POINTERS = range(2, 6)
"""The planes of what followed earlier places like this one."""
POINTER_SCALARS = slice(0, 2 * (len(SPANS) + 1))
"""The numbers that say how much alike these are."""
POINTER_ROWS: dict[str, list[int] | slice] = {
    "Wvu": [place for place, plane in enumerate(HEARD) if plane in POINTERS],
    "conv": list(POINTERS),
    "Wsu": POINTER_SCALARS,
    "Wsg": POINTER_SCALARS,
}
"""Of the parameters that take a context, the rows that take what the pointers say."""
N_SCALARS = POINTER_SCALARS.stop + sum(PERIODS) + 2
MOVED = N_SCALARS - 1
"""The number that says in training that a piece was moved to another key, so that only its own counts as its key."""

Array = NDArray[np.float32]


class Memory:
    """What has been heard of one piece, and what follows from it for the next frame."""

    def __init__(self, n_visible: int) -> None:
        self._n = 0
        self._frames = np.zeros((0, n_visible), np.float32)
        self._counts = np.zeros(0, np.float32)
        self._agreement = np.zeros(0, np.float32)  # M[t, j] for j < t
        self._traces = np.zeros((len(DECAYS), n_visible), np.float32)
        self._n_visible = n_visible
        self._grow(256)

    def _grow(self, size: int) -> None:
        for name in ("_frames", "_counts", "_agreement"):
            old = getattr(self, name)
            new = np.zeros((size, *old.shape[1:]), np.float32)
            new[: len(old)] = old
            setattr(self, name, new)

    def hear(self, frame: NDArray[np.bool_]) -> None:
        """Take the next frame (n_visible,)."""
        t = self._n
        if t == len(self._frames):
            self._grow(2 * t)
        x = frame.astype(np.float32)
        count = x.sum()
        both = self._frames[:t] @ x
        either = self._counts[:t] + (count - both)
        share = np.where(either > 0, both / np.maximum(either, 1), 1)
        self._agreement[1:t] = self._agreement[: max(t - 1, 0)].copy()
        self._agreement[:1] = 0
        self._agreement[:t] = share * (1 + self._agreement[:t])
        self._frames[t], self._counts[t] = x, count
        self._traces += (1 - DECAYS[:, None]) * (x - self._traces)
        self._n = t + 1

    def context(self) -> tuple[Array, Array]:
        """Planes (N_PLANES, n_visible) and scalars (N_SCALARS,) for the frame that comes next."""
        t = self._n - 1  # the last frame
        planes = np.zeros((N_PLANES, self._n_visible), np.float32)
        scalars = np.zeros(N_SCALARS, np.float32)
        best = far = 0.0
        if t >= 0:
            planes[0] = self._frames[t]
        if t >= 1:
            planes[1] = self._frames[t - 1]
            M = self._agreement[:t]
            followed = self._frames[1 : t + 1]
            j = t - 1 - int(M[::-1].argmax())
            best = M[j]
            if best > 0:
                planes[2] = followed[j]
            if t >= FAR:
                ahead = M[: t - FAR + 1]  # j + 1 <= t + 1 - FAR
                j = len(ahead) - 1 - int(ahead[::-1].argmax())
                far = ahead[j]
                if far > 0:
                    planes[3] = followed[j]
            weights = M.astype(np.float64) ** np.array([[8], [2]])
            planes[4:6] = weights @ followed / (weights.sum(1, keepdims=True) + 1)
        planes[6:9] = self._traces
        planes[9] = _octaves(self._traces[1])
        n = len(SPANS) + 1
        scalars[int(np.searchsorted(SPANS, best))] = 1
        scalars[n + int(np.searchsorted(SPANS, far))] = 1
        at = 2 * n
        for period in PERIODS:
            scalars[at + (t + 1) % period] = 1
            at += period
        scalars[at] = t < 0
        return planes, scalars


def _octaves(row: Array) -> Array:
    """The sum over keys an octave or several apart, for each key."""
    n = len(row)
    padded = np.zeros(-(-n // 12) * 12, np.float32)
    padded[:n] = row
    sums = sum(padded.reshape(-1, 12), np.zeros(12, np.float32))
    return np.tile(sums, -(-n // 12))[:n]


def contexts(roll: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The contexts of all frames of a piece (frames, n_visible): planes (frames, N_PLANES, n_visible), scalars."""
    memory = Memory(roll.shape[1])
    planes = np.empty((len(roll), N_PLANES, roll.shape[1]), np.float32)
    scalars = np.empty((len(roll), N_SCALARS), np.float32)
    for t, frame in enumerate(roll):
        planes[t], scalars[t] = memory.context()
        memory.hear(frame)
    return planes, scalars
