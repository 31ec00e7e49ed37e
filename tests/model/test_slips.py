"""Stretches of a piece that a model hears in training as it plays them itself."""

from dataclasses import replace

import numpy as np

from model.config import ModelConfig
from model.kernel import Drawing, Kernel
from model.kernel.gated import GatedPieces
from model.networks import new_network
from model.slips import with_slips

CONFIG = ModelConfig(kind="lstm-nade", n_hidden=8, n_hidden_recurrent=8, n_channels=16, dt=None, steps_per_beat=1)


def test_a_share_of_the_frames_is_the_models(compiled: Kernel) -> None:
    network = new_network(CONFIG, 0)
    network.bv.data += 2.0  # type: ignore[operator] # it plays nearly all keys
    maker = GatedPieces(network.to_parameters(), compiled)
    silence = np.zeros((4000, 88), np.bool_)
    for share in (0.1, 0.5):
        heard = with_slips(silence, share, 4, maker, Drawing(1.0, 5, 0), np.random.default_rng(0))
        played = heard.any(axis=1)
        assert abs(played.mean() - share) < 0.05
        stretches = np.count_nonzero(played[1:] & ~played[:-1])
        assert abs(played.sum() / stretches - 4) < 1
    assert not silence.any()


def test_the_same_numbers_give_the_same_slips(compiled: Kernel) -> None:
    maker = GatedPieces(new_network(replace(CONFIG, kind="lstm-rbm"), 0).to_parameters(), compiled)
    roll = np.random.default_rng(1).random((100, 88)) < 0.04
    one, other = (with_slips(roll, 0.4, 3, maker, Drawing(1.0, 5, 1), np.random.default_rng(2)) for _ in "ab")
    assert (one == other).all()
    assert (one != roll).any()
