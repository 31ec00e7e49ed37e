"""The deeplearning.net tutorial's class, on the code that the service runs.

    model = RnnRbm()
    model.train(glob.glob("Nottingham/train/*.mid"), batch_size=100, num_epochs=200)
    model.generate("sample1.mid")

Deviations: other random numbers, Gibbs chains of all frames of a subsequence run side by side, and the monitor is
computed from logits, so that it is finite where the tutorial's becomes -inf.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import torch

from model.config import PIANO, ModelConfig, TrainingConfig
from model.corpus import read_rolls
from model.errors import CorpusError
from model.kernel import best
from model.midi_writer import write_midi
from model.pianoroll import Roll
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import sampler
from model.training import TrainingState, initial_state, train


class RnnRbm:
    """An RNN-RBM that is trained on MIDI files and writes MIDI files.

    Args:
        n_hidden: hidden units of the RBM.
        n_hidden_recurrent: units of the RNN.
        lr: learning rate of SGD.
        r: MIDI notes of the piano-roll, half open.
        dt: sampling period in seconds.
        seed: of the initial parameters, the Gibbs chains and the pieces.
    """

    def __init__(
        self,
        n_hidden: int = 150,
        n_hidden_recurrent: int = 100,
        lr: float = 0.001,
        r: tuple[int, int] = PIANO,
        dt: float = 0.3,
        *,
        seed: int = 0,
    ) -> None:
        self.r = r
        self.dt = dt
        self.lr = lr
        self.seed = seed
        config = ModelConfig(n_hidden=n_hidden, n_hidden_recurrent=n_hidden_recurrent, pitch_range=r, dt=dt)
        self.network = RnnRbmNetwork(config, torch.Generator().manual_seed(seed))
        self.history: list[dict[str, float]] = []
        self._n_generated = 0

    def train(self, files: Sequence[str | PathLike[str]], batch_size: int = 100, num_epochs: int = 200) -> None:
        """Train on MIDI files by CD-15, a line of progress per epoch; Ctrl+C ends it and keeps what was learned.

        Raises:
            CorpusError: no files, one that cannot be read, or none with a note in the range.
        """
        if not files:
            raise CorpusError("Training set is empty! (did you give the .mid files of a folder?)")
        rolls = read_rolls(((str(file), Path(file).read_bytes()) for file in files), self.network.config)
        config = TrainingConfig(epochs=num_epochs, lr=self.lr, batch_size=batch_size, seed=self.seed)

        def on_epoch(state: TrainingState) -> None:
            self.history.append(state.history[-1])
            print(f"Epoch {state.epoch}/{num_epochs}  {state.history[-1]['monitor']:.4f}", flush=True)

        try:
            train(initial_state(self.network, config, best()), rolls, config, on_epoch=on_epoch)
        except KeyboardInterrupt:
            print("Interrupted by user.")

    def generate(self, filename: str | PathLike[str], show: bool = True) -> Roll:
        """Write a piece of 200 frames to `filename`, draw its piano-roll if `show`; the roll (200, n_visible).

        Each call makes another piece. As in the tutorial, the figure appears with `matplotlib.pyplot.show()`.
        """
        sample = sampler(self.network.to_parameters(), "cpu", best())
        roll: Roll = sample.generate(200, [self.seed + self._n_generated])[0]
        self._n_generated += 1
        Path(filename).write_bytes(write_midi(roll, step_seconds=self.dt, pitch_range=self.r))
        if show:
            self._draw(roll)
        return roll

    def _draw(self, roll: Roll) -> None:
        from matplotlib import pyplot as plt  # noqa: PLC0415 (a second, and a display, for those who want it)

        plt.figure()
        extent = (0, self.dt * len(roll), *self.r)
        plt.imshow(roll.T, origin="lower", aspect="auto", interpolation="nearest", cmap="gray_r", extent=extent)
        plt.xlabel("time (s)")
        plt.ylabel("MIDI note number")
        plt.title("generated piano-roll")
