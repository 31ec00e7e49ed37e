"""Pieces in batches, as a GPU samples them; on the CPU with the plain chain."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch

from model.config import ModelConfig
from model.cuda import sampler as module
from model.cuda.accelerator import Accelerator, accelerator
from model.cuda.chains import PlainChains
from model.cuda.sampler import BatchSampler, SharedSampler, measured_crossover
from model.draw_options import DrawOptions
from model.errors import DeviceError, Stopped
from model.generation import PlainSampler
from model.kernel import best
from model.rnn_rbm import RnnRbmNetwork
from model.sampler import Sampler
from tests.model.test_gated import SMALL, network_of

SEEDS = [*range(17), 2**53 - 1]


@pytest.fixture
def network() -> RnnRbmNetwork:
    generator = torch.Generator().manual_seed(0)
    made = RnnRbmNetwork(ModelConfig(n_hidden=7, n_hidden_recurrent=6, pitch_range=(60, 63)), generator)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.7, generator=generator)
    return made


def batch(network: RnnRbmNetwork, device: torch.device) -> BatchSampler:
    return BatchSampler(network.to_parameters(), str(device), PlainChains())


def test_pieces_are_those_of_one_after_the_other_on_average(network: RnnRbmNetwork, device: torch.device) -> None:
    """Means of every cell and of every pair of neighbours in time, 2,000 pieces each."""
    n = 2000
    ours = batch(network, device).generate(5, range(n), DrawOptions(gibbs_steps=4, temperature=1.5)).astype(float)
    plain = PlainSampler(network.to_parameters(), str(device))
    theirs = plain.generate(5, range(n), DrawOptions(gibbs_steps=4, temperature=1.5)).astype(float)
    for moment in (lambda x: x.mean(0), lambda x: np.einsum("ntv,nsw->tvsw", x, x) / n):
        assert np.abs(moment(ours) - moment(theirs)).max() < 4.5 * np.sqrt(2 * 0.25 / n)


def test_a_piece_depends_on_its_seed_and_not_on_those_beside_it(network: RnnRbmNetwork, device: torch.device) -> None:
    sample = batch(network, device)
    asked: list[int] = []
    together = sample.generate(12, SEEDS, DrawOptions(on_step=lambda step: bool(asked.append(step))))
    assert together.shape == (18, 12, 3)
    for seed, piece in zip(SEEDS, together, strict=True):
        assert (sample.generate(12, [seed])[0] == piece).all()
    assert len({piece.tobytes() for piece in together}) == 18
    assert asked == sorted(asked)
    assert 0 <= max(asked) < 18 * 12


def test_a_piece_continued_from_its_own_beginning_with_its_seed_is_itself(
    network: RnnRbmNetwork, device: torch.device
) -> None:
    sample = batch(network, device)
    piece = sample.generate(40, [6])
    assert (sample.generate(25, [6], primer=piece[0, :15]) == piece).all()


def test_the_caller_can_stop(network: RnnRbmNetwork, device: torch.device) -> None:
    with pytest.raises(Stopped):
        batch(network, device).generate(100, range(40), DrawOptions(on_step=lambda step: step > 0))


class SmallDevice(PlainChains):
    """Has room for some rows."""

    rows = 5

    def keyed(self, *args: object) -> torch.Tensor:
        if len(args[2]) > self.rows:  # type: ignore[arg-type]
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().keyed(*args)  # type: ignore[arg-type]


def test_pieces_for_which_there_is_no_room_together_are_sampled_in_parts(
    network: RnnRbmNetwork, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = BatchSampler(network.to_parameters(), str(device), SmallDevice())
    assert (small.generate(9, SEEDS) == batch(network, device).generate(9, SEEDS)).all()
    monkeypatch.setattr(SmallDevice, "rows", 0)
    with pytest.raises(DeviceError, match="a single one of the pieces"):
        small.generate(9, SEEDS)


def test_what_is_kept_of_a_source_is_kept(network: RnnRbmNetwork, device: torch.device) -> None:
    source = np.random.default_rng(0).random((6, 3)) < 0.5
    kept = np.zeros_like(source)
    kept[:, 0] = True
    pieces = batch(network, device).infill(source, kept, [1, 2], DrawOptions(gibbs_steps=3, particles=4))
    assert (pieces[:, :, 0] == source[:, 0]).all()


# --- the CPU or the GPU ----------------------------------------------------------------------------------------------


class Timed:
    """A sampler whose calls take `first` seconds and `each` for every piece, by a clock of the test's."""

    kernel = "timed"

    def __init__(
        self, network: RnnRbmNetwork, device: str, seconds: Callable[[int], float], clock: list[float]
    ) -> None:
        self.parameters = network.to_parameters()
        self.device = device
        self._seconds = seconds
        self._clock = clock

    def generate(self, length: int, seeds: range, *_: object, **__: object) -> np.ndarray:
        self._clock[0] += self._seconds(len(seeds))
        return np.full((len(seeds), length, 3), self.device == "cpu")

    def infill(self, source: np.ndarray, _: np.ndarray, seeds: range, *__: object) -> np.ndarray:
        return self.generate(len(source), seeds)


@pytest.mark.parametrize(("each", "crossover"), [(0.001, 64), (1.0, 1), (1e-6, 2048)])
def test_the_crossover_is_where_the_gpu_becomes_faster(
    network: RnnRbmNetwork,
    each: float,
    crossover: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    cpu = Timed(network, "cpu", lambda n: each * n, clock)
    gpu = Timed(network, "cuda:0", lambda _: 0.05, clock)
    with caplog.at_level(logging.INFO):
        assert measured_crossover(cpu, gpu) == crossover  # type: ignore[arg-type]
    assert f"on cuda:0 from {crossover} at once" in caplog.text


def test_few_pieces_are_sampled_on_the_cpu_and_many_on_the_gpu(network: RnnRbmNetwork) -> None:
    cpu, gpu = (Timed(network, device, lambda _: 0.0, [0.0]) for device in ("cpu", "cuda:0"))
    shared = SharedSampler(cpu, gpu, 64)  # type: ignore[arg-type]
    assert shared.generate(4, range(63)).all()
    assert shared.device == "cpu"
    assert not shared.generate(4, range(64)).any()
    assert shared.device == "cuda:0"
    roll = np.zeros((4, 3), bool)
    assert shared.infill(roll, roll, range(100)).all()
    assert shared.kernel == "timed"


def test_an_accelerator_shares_pieces_with_the_compiled_kernel_where_there_is_one(
    network: RnnRbmNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIED_PIECES", (1, 2))
    plain: Sampler = Accelerator("cpu", PlainChains()).sampler(network.to_parameters())
    assert isinstance(plain, BatchSampler)
    if kernel := best():
        found = accelerator("cpu", kernel, plain=True, samples=True)
        assert found.crossover == 4  # as the "GPU" here is the CPU without its kernel
        shared = found.sampler(network.to_parameters())
        assert isinstance(shared, SharedSampler)
        assert shared.generate(3, [1]).shape == (1, 3, 3)
        assert shared.kernel == kernel.name
    assert accelerator("cpu", kernel, plain=True, samples=False).compiled is None


@pytest.mark.skipif(best() is None, reason="there is no compiled kernel here")
def test_an_accelerator_leaves_models_with_a_gated_recurrence_to_the_cpu() -> None:
    sampler = Accelerator("cuda", PlainChains(), best()).sampler(network_of(SMALL).to_parameters())
    assert sampler.device == "cpu"
    assert sampler.generate(3, [1]).shape == (1, 3, 6)
