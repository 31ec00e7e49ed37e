"""What a piece recalls of itself while an RNN-RBM plays it freely: how it went on at an earlier place like this one.

A state of the RNN-RBM fades within some frames, so a tune that has gone does not come back. What has been heard is
known, though, and pieces go on after a stretch as they did after the same stretch before: Grave, Joulin and Usunier
("Improving Neural Language Models with a Continuous Cache", ICLR 2017) let a language model look there. Here what
followed the earlier place is added to the biases of the visible units,

    bv_t <- bv_t + gain * sure * (2 x - 1)        sure = min(max((M - ALIKE) / SURE, 0), 1)

where M is the agreement of that place with the present one, as model/memory.py has it, and x the frame that followed
it. The place is the one with the largest agreement among those at least 24 beats back, a whole number of pairs of beats
(`ModelConfig.recalled_at`): what is nearer is a figure of the accompaniment, which the RNN-RBM knows by itself. A frame
that was recalled with `TAKEN` or more of `sure` is recalled `TIMES` at most, and never from where it came back: so a
tune comes back once or twice, and then comes another, as in real pieces.

The gain is the config's `recall`, found at the end of a training (model/calibration.py). It belongs to drawing pieces
freely by `sampler: best`: the likelihood, filling in and the tutorial's way know nothing of it.
"""

from copy import copy

import torch
from torch import Tensor

from model.config import ModelConfig
from model.memory import WINDOW
from model.pianoroll import Roll

ALIKE, SURE = 1.0, 4.0
TAKEN, TIMES = 0.5, 2


class Recall:
    """Of one piece of `room` frames at most, or of several side by side. In the compiled kernel it is recall.h."""

    def __init__(self, config: ModelConfig, room: int, like: Tensor) -> None:
        """`like` has the type and the device of what is computed."""
        self._gain = config.recall
        self._far, self._every = config.recalled_at
        self._frames = like.new_zeros(1, room, config.n_visible)
        self._counts = like.new_zeros(1, room)
        self._agreement = like.new_zeros(1, min(room, WINDOW))  # of the place `lag` frames back: column lag - 1
        self._times = torch.zeros(1, room, dtype=torch.uint8, device=like.device)
        self._n = 0

    def repeated(self, n: int) -> "Recall":
        """Of so many pieces that go on by themselves from here."""
        other = copy(self)
        for name in ("_frames", "_counts", "_agreement", "_times"):
            setattr(other, name, getattr(self, name).repeat_interleave(n, dim=0))
        return other

    def hear(self, v: Tensor) -> None:
        """The next frame of each piece, (n_pieces, n_visible)."""
        t = self._n
        latest = slice(max(t - WINDOW, 0), t)
        both = torch.bmm(self._frames[:, latest], v[:, :, None])[:, :, 0].flip(1)  # (n_pieces, lags)
        count = v.sum(1)
        either = self._counts[:, latest].flip(1) + count[:, None] - both
        share = torch.where(either > 0, both / either.clamp(min=1), 1.0)
        M = self._agreement[:, : share.shape[1]]
        M.add_(1).mul_(share)
        self._frames[:, t], self._counts[:, t] = v, count
        self._n = t + 1

    def biases(self) -> Tensor:
        """What is added to the bv_t of the frame that comes next, (n_pieces, n_visible); to be asked for once."""
        t = self._n - 1  # the last frame
        furthest = min(t, WINDOW)
        if furthest < self._far:
            return torch.zeros_like(self._frames[:, 0])
        lags = torch.arange(self._far, furthest + 1, self._every, device=self._times.device)
        places = t + 1 - lags  # of what followed
        M = self._agreement[:, lags - 1] * (self._times[:, places] < TIMES)
        most, which = M.max(1)
        sure = ((most - ALIKE) / SURE).clamp(0, 1)  # (n_pieces,)
        place = places[which]
        taken = sure >= TAKEN
        pieces = torch.arange(len(place), device=place.device)
        self._times[pieces, place] += taken
        self._times[:, t + 1] = TIMES * taken
        return self._gain * sure[:, None] * (2 * self._frames[pieces, place] - 1)


def recall_of(config: ModelConfig, primer: Roll, room: int, like: Tensor) -> Recall | None:
    """What a piece recalls that begins with a primer (frames, n_visible); None: its model recalls nothing."""
    if not config.recall:
        return None
    recall = Recall(config, room, like)
    for v in torch.from_numpy(primer).to(like):
        recall.hear(v[None])
    return recall
