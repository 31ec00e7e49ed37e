"""The RNN-RBM as one would first write it in PyTorch: the baseline of everybody's own evening.

    python -m bench.torch_loop ROLLS.npz --serve         measure when asked (bench.process)

The tutorial's algorithm at its own settings: a Python loop over the frames for the recurrence, one batched CD-15 with
torch.bernoulli for all frames of a subsequence, autograd, torch.optim.SGD. Pieces are sampled without autograd.
float32, one thread.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from bench import rolls as npz
from bench.process import Answer, serve
from bench.sizes import GENERATED_FRAMES, GENERATION_STEPS, UPDATES, WARM_UP_UPDATES
from model.config import RECIPES

RECIPE = RECIPES["tutorial"]


class LoopRnnRbm(nn.Module):
    """Parameters with the tutorial's names and initial values."""

    def __init__(self) -> None:
        super().__init__()
        n_visible, n_hidden = RECIPE.model.n_visible, RECIPE.model.n_hidden
        n_recurrent = RECIPE.model.n_hidden_recurrent
        self.W = nn.Parameter(0.01 * torch.randn(n_visible, n_hidden))
        self.Wuh = nn.Parameter(0.0001 * torch.randn(n_recurrent, n_hidden))
        self.Wuv = nn.Parameter(0.0001 * torch.randn(n_recurrent, n_visible))
        self.Wvu = nn.Parameter(0.0001 * torch.randn(n_visible, n_recurrent))
        self.Wuu = nn.Parameter(0.0001 * torch.randn(n_recurrent, n_recurrent))
        self.bv, self.bh = nn.Parameter(torch.zeros(n_visible)), nn.Parameter(torch.zeros(n_hidden))
        self.bu = nn.Parameter(torch.zeros(n_recurrent))

    def step(self, v: Tensor, u: Tensor) -> Tensor:
        """The next state (n_recurrent,) from a frame (n_visible,) and a state."""
        return torch.tanh(self.bu + v @ self.Wvu + u @ self.Wuu)

    def biases(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """bv_t (T, n_visible) and bh_t (T, n_hidden) of frames v (T, n_visible)."""
        states = [torch.zeros_like(self.bu)]
        for frame in v[:-1]:
            states.append(self.step(frame, states[-1]))
        u = torch.stack(states)
        return self.bv + u @ self.Wuv, self.bh + u @ self.Wuh

    @torch.no_grad()
    def gibbs(self, v: Tensor, bv: Tensor, bh: Tensor, k: int) -> Tensor:
        """The visible units after k Gibbs steps from v, of v's shape."""
        for _ in range(k):
            h = torch.bernoulli(torch.sigmoid(bh + v @ self.W))
            v = torch.bernoulli(torch.sigmoid(bv + h @ self.W.T))
        return v

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Cost and monitor of frames v (T, n_visible), means over the frames, in nats."""
        bv, bh = self.biases(v)
        v_sample = self.gibbs(v, bv, bh, RECIPE.training.gibbs_steps)

        def free_energy(v: Tensor) -> Tensor:
            return -(v * bv).sum(-1) - softplus(bh + v @ self.W).sum(-1)

        cost = (free_energy(v) - free_energy(v_sample)).mean()
        with torch.no_grad():
            h = torch.bernoulli(torch.sigmoid(bh + v_sample @ self.W))
            monitor = -binary_cross_entropy_with_logits(bv + h @ self.W.T, v, reduction="sum") / len(v)
        return cost, monitor

    @torch.no_grad()
    def sample(self) -> Tensor:
        """A piece (200, n_visible), each frame after 25 Gibbs steps from zeros."""
        u, frames = torch.zeros_like(self.bu), []
        for _ in range(GENERATED_FRAMES):
            bv, bh = self.bv + u @ self.Wuv, self.bh + u @ self.Wuh
            v = self.gibbs(torch.zeros_like(self.bv), bv, bh, GENERATION_STEPS)
            u = self.step(v, u)
            frames.append(v)
        return torch.stack(frames)


class Tasks:
    """Measurements on one model that has done `WARM_UP_UPDATES`."""

    def __init__(self, path: Path) -> None:
        torch.manual_seed(0)
        chunks = npz.subsequences(npz.load(path), RECIPE.training.batch_size)
        self._chunks = [torch.from_numpy(chunk).float() for chunk in chunks]
        self._model = LoopRnnRbm()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=RECIPE.training.lr)
        self._next = 0
        self.train(WARM_UP_UPDATES)

    def train(self, updates: int = UPDATES) -> Answer:
        """Go on training for some updates: frames, seconds, mean monitor (nats per frame)."""
        chunks = [self._chunks[(self._next + i) % len(self._chunks)] for i in range(updates)]
        self._next += updates
        started = time.perf_counter()
        monitor = sum(self._update(chunk) for chunk in chunks) / updates
        return {"frames": sum(map(len, chunks)), "seconds": time.perf_counter() - started, "monitor": monitor}

    def _update(self, v: Tensor) -> float:
        cost, monitor = self._model(v)
        self._optimizer.zero_grad()
        cost.backward()
        self._optimizer.step()
        return float(monitor)

    def piece(self, calls: int = 1) -> Answer:
        """Median seconds of a piece of 200 frames."""
        return {"seconds": median(self._timed_piece() for _ in range(calls))}

    def _timed_piece(self) -> float:
        started = time.perf_counter()
        self._model.sample()
        return time.perf_counter() - started


def main() -> None:
    """Warm up, then measure when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rolls", type=Path)
    tasks = Tasks(parser.parse_args().rolls)
    serve({"kernel": f"torch {torch.__version__}"}, {"train": tasks.train, "piece": tasks.piece})


if __name__ == "__main__":
    main()
