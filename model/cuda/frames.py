"""A training set in a device's memory, a bit a cell, from which updates of a fixed shape take their frames."""

import numpy as np
import torch
from torch import Tensor

from model.batches import Batch
from model.training_set import TrainingSet


class ResidentFrames:
    """Side by side on a device: `n_sequences` excerpts of up to `length` frames, those that are missing masked.

    `choose` says which, by three numbers for each; `take` is what a graph can hold, as it always does the same.
    """

    def __init__(self, training: TrainingSet, n_sequences: int, length: int, device: torch.device) -> None:
        self._training = training
        self._bits = torch.from_numpy(training.rolls.bits.copy()).to(device)  # (frames of the corpus, bytes)
        self._chosen = torch.zeros(3, n_sequences, dtype=torch.int64, device=device)
        self._staging = torch.zeros(3, n_sequences, dtype=torch.int64, pin_memory=device.type == "cuda")
        self._times = torch.arange(length, device=device)[:, None]
        self._keys = torch.arange(training.rolls.n_visible, device=device)
        self._shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
        self.n_sequences = n_sequences

    def choose(self, batch: Batch) -> None:
        """The excerpts of the next update, one a sequence, `n_sequences` at most."""
        rows = np.zeros((3, self.n_sequences), np.int64)
        piece, start, stop, semitones = np.array([(e.piece, e.start, e.stop, e.semitones) for (e,) in batch]).T
        starts = self._training.rolls.offsets[self._training.pieces[piece]] + start
        rows[:, : len(batch)] = starts, stop - start, semitones
        self._staging.copy_(torch.from_numpy(rows))
        self._chosen.copy_(self._staging, non_blocking=True)

    def lengths(self) -> Tensor:
        """Frames of each sequence, (n_sequences,), 0 for those that are missing."""
        return self._chosen[1]

    def take(self, sequences: slice) -> tuple[Tensor, Tensor]:
        """v (length, sequences, n_visible), and 1 for its real frames, 0 for others (length, sequences); float32."""
        starts, lengths, semitones = self._chosen[:, sequences]
        real = self._times < lengths  # (length, sequences)
        rows = self._bits[(starts + self._times) * real]
        cells = rows[..., None] >> self._shifts & 1
        v = cells.flatten(2)[..., : len(self._keys)]
        moved = (self._keys - semitones[:, None]) % len(self._keys)
        v = v.gather(2, moved.expand(v.shape))
        return v * real[..., None].float(), real.float()
