"""Likelihoods on a device without room for all frames at once."""

import numpy as np
import pytest
import torch

from model import annealing
from model.annealing import PlainAnnealer
from model.conditionals import Conditionals


def test_frames_without_room_together_are_annealed_in_smaller_parts(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(0)
    W, bv, bh = (random.normal(size=shape).astype(np.float32) for shape in ((6, 5), (40, 6), (40, 5)))
    conditionals = Conditionals(random.random((40, 6)) < 0.5, W, bv, bh)
    asked: list[int] = []
    whole = annealing.anneal

    def small(v: torch.Tensor, *args: object) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(len(v))
        if len(v) > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(v, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(annealing, "anneal", small)
    betas = np.linspace(0, 1, 20).astype(np.float32)
    ends, log_weights = PlainAnnealer(str(device)).anneal(conditionals, np.zeros((40, 6), bool), betas, 3)
    assert asked == [40, 20, 10, 10, 10, 10]
    assert ends.shape == (40, 6)
    assert np.isfinite(log_weights).all()
    assert "going on with 10" in caplog.text
