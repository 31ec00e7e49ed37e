"""Sampling pieces on a GPU, many at once; and who samples so many of them, it or the CPU."""

import logging
import time
from collections.abc import Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

from model.cores import OnStep
from model.cuda.chains import Chains
from model.cuda.room import Parts
from model.draw_options import DEFAULT, DrawOptions
from model.errors import Stopped
from model.kernel import Frames
from model.parameters import Parameters
from model.pianoroll import Roll
from model.recall import recall_of
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import Sampler

AT_ONCE = 32_768
"""Pieces: enough to fill any card, and 0.6 GB for 200 frames of them; 2.3 GB more where they recall themselves."""
MOST_PINNED = 1 << 28
"""Bytes of pieces in memory that the CPU cannot swap out."""
TRIED_PIECES = tuple(1 << i for i in range(11))
TRIED_FRAMES = 40

logger = logging.getLogger(__name__)


class BatchSampler:
    """Samples all pieces side by side, a frame at a time; `model.sampler.Sampler` says what its methods do.

    A frame's random numbers are those of its piece's seed and its place in the piece, so a piece depends on nothing
    beside it.
    """

    def __init__(self, parameters: Parameters, device: str, chains: Chains) -> None:
        self.parameters = parameters
        self.device = device
        self.kernel = chains.name
        self._chains = chains
        self._network = RnnRbmNetwork.from_parameters(parameters).to(device)
        self._parts = Parts(AT_ONCE, "pieces")

    def tutorial_way(self) -> "BatchSampler":
        """See `Sampler`."""
        other = copy(self)  # with the same network
        other.parameters = self.parameters.without_recall()
        return other

    def generate(
        self, length: int, seeds: Sequence[int], options: DrawOptions = DEFAULT, *, primer: Roll | None = None
    ) -> Frames:
        """See `Sampler`."""
        beginning = np.zeros((0, self.parameters.config.n_visible), np.bool_) if primer is None else primer

        def sample(part: slice) -> Frames:
            return self._sample(length, seeds[part], options, beginning, _Asking(options.on_step, part, length))

        parts = self._parts.over(len(seeds), sample)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @torch.no_grad()
    def _sample(self, length: int, seeds: Sequence[int], options: DrawOptions, primer: Roll, ask: "_Asking") -> Frames:
        network = self._network
        keys = torch.tensor(seeds, device=network.W.device)
        k, temperature = options.gibbs_steps, options.temperature
        W = network.W / temperature
        rolls = torch.zeros(len(seeds), len(primer) + length, W.shape[0], dtype=torch.bool, device=W.device)
        rolls[:, : len(primer)] = torch.from_numpy(primer).to(W.device)
        u = self._state_after(primer).expand(len(seeds), -1)  # (pieces, n_hidden_recurrent)
        start = W.new_zeros(1, W.shape[0])
        heard = recall_of(self.parameters.config, primer, rolls.shape[1], W)
        recall = heard.repeated(len(seeds)) if heard else None
        for t in range(len(primer), len(primer) + length):
            ask(t - len(primer))
            bv_t, bh_t = network.conditional_biases(u)
            if recall:
                bv_t = bv_t + recall.biases()
            v = self._chains.keyed(start, W, bv_t / temperature, bh_t / temperature, k, keys, t)
            if recall:
                recall.hear(v)
            rolls[:, t] = v > 0
            u = network.next_state(v, u)
        return _taken_off(rolls)

    def _state_after(self, primer: Roll) -> Tensor:
        """The state that frames (frames, n_visible) lead to from the beginning: (1, n_hidden_recurrent)."""
        u = self._network.initial_state(1)
        for v in torch.from_numpy(primer).to(self._network.W):
            u = self._network.next_state(v[None], u)
        return u

    def infill(self, source: Roll, kept: Roll, seeds: Sequence[int], options: DrawOptions = DEFAULT) -> Frames:
        """See `Sampler`; one piece after another, its particles side by side."""
        from model.generation import PlainSampler  # noqa: PLC0415 (where there is a kernel for the CPU, that does it)

        plain = PlainSampler(self.parameters, self.device)
        return plain.infill(source, kept, seeds, options)


def _taken_off(rolls: Tensor) -> Frames:
    """Rolls (pieces, frames, n_visible) in the CPU's memory: where a GPU can write to by itself, if there are not many.

    PyTorch keeps such memory for the next call; to fill other memory takes longer than to sample the pieces.
    """
    if rolls.device.type == "cpu" or rolls.numel() > MOST_PINNED:
        return rolls.cpu().numpy()
    return torch.empty(rolls.shape, dtype=rolls.dtype, pin_memory=True).copy_(rolls).numpy()


class _Asking:
    """Asks the caller before each frame whether to go on, telling how many frames are done of all pieces."""

    def __init__(self, on_step: OnStep | None, part: slice, length: int) -> None:
        self._on_step = on_step
        self._before = part.start * length
        self._n = part.stop - part.start

    def __call__(self, frames: int) -> None:
        if self._on_step is not None and self._on_step(self._before + frames * self._n):
            raise Stopped


class SharedSampler:
    """Lets the CPU sample few pieces and what is filled in, and the GPU many; `device` and `kernel` say who did it.

    One piece is thousands of small products one after another: the CPU does each of them sooner than a GPU begins it.
    """

    def __init__(self, cpu: Sampler, gpu: Sampler, crossover: int) -> None:
        self.parameters = cpu.parameters
        self._cpu = cpu
        self._gpu = gpu
        self._crossover = crossover
        self._last = cpu

    def tutorial_way(self) -> "SharedSampler":
        """See `Sampler`."""
        return SharedSampler(self._cpu.tutorial_way(), self._gpu.tutorial_way(), self._crossover)

    @property
    def device(self) -> str:
        """Where the latest pieces were sampled."""
        return self._last.device

    @property
    def kernel(self) -> str:
        """What sampled the latest pieces."""
        return self._last.kernel

    def generate(
        self, length: int, seeds: Sequence[int], options: DrawOptions = DEFAULT, *, primer: Roll | None = None
    ) -> Frames:
        """See `Sampler`."""
        self._last = self._gpu if len(seeds) >= self._crossover else self._cpu
        return self._last.generate(length, seeds, options, primer=primer)

    def infill(self, source: Roll, kept: Roll, seeds: Sequence[int], options: DrawOptions = DEFAULT) -> Frames:
        """See `Sampler`."""
        self._last = self._cpu
        return self._last.infill(source, kept, seeds, options)


def measured_crossover(cpu: Sampler, gpu: Sampler) -> int:
    """From how many pieces on the GPU is faster, a power of two; the log has it.

    Beyond the most that are tried it is taken to be, as its time hardly grows up to there.
    """
    gpu.generate(1, range(1))  # what is compiled or set up at first does not count
    crossover = next((n for n in TRIED_PIECES if _seconds(gpu, n) < _seconds(cpu, n)), 2 * TRIED_PIECES[-1])
    logger.info("pieces are sampled on %s from %d at once on, fewer on %s", gpu.device, crossover, cpu.device)
    return crossover


def _seconds(sample: Sampler, n: int) -> float:
    started = time.perf_counter()
    sample.generate(TRIED_FRAMES, range(n))
    return time.perf_counter() - started
