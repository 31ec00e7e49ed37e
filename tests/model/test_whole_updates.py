"""Whole updates of a fixed shape, as a GPU performs them: the function that is captured there is called here."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.batches import Batch, shuffled
from model.config import ModelConfig, TrainingConfig
from model.corpus import PackedRolls
from model.cuda.chains import PlainChains
from model.cuda.frames import ResidentFrames
from model.cuda.update import WARM_UPS, WholeUpdates, whole_updates
from model.errors import DeviceError
from model.gradients import PlainGradients, Position
from model.pianoroll import Roll
from model.rnn_rbm import RnnRbmNetwork
from model.training_set import TrainingSet, split

MODEL = ModelConfig(n_hidden=20, n_hidden_recurrent=15)
CONFIG = TrainingConfig(epochs=4, n_parallel=6, batch_size=20, gibbs_steps=3, clip_norm=2.0, lr=0.05)
SGD, ADAM = CONFIG, replace(CONFIG, optimizer="adam", chain_start="zeros", pretraining=0.5)


def pieces() -> PackedRolls:
    random = np.random.default_rng(4)
    return PackedRolls.pack([random.random((n, 88)) < 0.1 for n in (45, 20, 3, 61, 7)], 88)


def network(device: torch.device, config: ModelConfig = MODEL) -> RnnRbmNetwork:
    generator = torch.Generator().manual_seed(2)
    made = RnnRbmNetwork(config, generator)
    for parameter in made.parameters():
        parameter.data.normal_(0.0, 0.3 if parameter.ndim == 1 else 0.1, generator=generator)
    return made.to(device)


class Learning:
    """A network that learns by whole updates."""

    def __init__(self, device: torch.device, config: TrainingConfig, model: ModelConfig = MODEL) -> None:
        self.config = config
        self.network = network(device, model)
        make = torch.optim.SGD if config.optimizer == "sgd" else torch.optim.Adam
        self.optimizer = make(self.network.parameters(), lr=config.lr, fused=True)
        self.training = split(pieces(), config)
        self.updates = WholeUpdates(self.network, self.optimizer, PlainChains(), config, self.training)

    def update(self, batch: Batch, epoch: int, number: int) -> tuple[float, float]:
        return self.updates(batch, Position(epoch, number))

    def parameters(self) -> list[torch.Tensor]:
        return [parameter.detach().clone().cpu() for parameter in self.network.parameters()]


def rolls(training: TrainingSet, batch: Batch) -> list[Roll]:
    return [training.frames(*sequence) for sequence in batch]


def test_frames_come_from_the_devices_memory_as_they_are_in_the_corpus(device: torch.device) -> None:
    config = replace(CONFIG, transpose=5)
    training = split(pieces(), config)
    frames = ResidentFrames(training, config.n_parallel, config.batch_size, device)
    for batch in shuffled(training, config, 3):
        frames.choose(batch)
        v, real = (tensor.cpu().numpy() for tensor in frames.take(slice(0, 6)))
        assert v.shape == (20, 6, 88)
        assert real.sum(0).tolist() == [len(roll) for roll in rolls(training, batch)] + [0] * (6 - len(batch))
        for i, roll in enumerate(rolls(training, batch)):
            assert (v[: len(roll), i] == roll).all()
        assert not v[real == 0].any()


@pytest.mark.parametrize("learn_u0", [False, True])
def test_the_gradient_of_the_cross_entropy_is_that_of_the_plain_one(device: torch.device, learn_u0: bool) -> None:
    config = replace(ADAM, pretraining=1.0, clip_norm=None)
    ours = Learning(device, config, replace(MODEL, learn_u0=learn_u0))
    plain = network(device, replace(MODEL, learn_u0=learn_u0))
    for batch in shuffled(ours.training, config, 0):
        ours.network.load_state_dict(plain.state_dict())
        found = ours.update(batch, 0, 0)
        compute = PlainGradients(plain, torch.Generator(device), config)
        expected = compute(rolls(ours.training, batch), Position(0, 0))
        assert found == pytest.approx(expected, rel=1e-5)
        for name, parameter in plain.named_parameters():
            gradient = getattr(ours.network, name).grad
            assert (gradient is None) == (parameter.grad is None), name
            if gradient is not None:
                torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


def test_contrastive_divergence_is_that_of_the_plain_one_on_average(device: torch.device) -> None:
    config = replace(SGD, clip_norm=None, lr=0.0)
    ours = Learning(device, config)
    (batch, *_) = shuffled(ours.training, config, 0)
    compute = PlainGradients(ours.network, torch.Generator(device).manual_seed(1), config)
    means = []
    for perform in (ours.updates, lambda batch, position: compute(rolls(ours.training, batch), position)):
        sums = [torch.zeros_like(parameter) for parameter in ours.network.parameters()]
        figures = []
        for number in range(200):
            figures.append(perform(batch, Position(0, number)))
            for i, parameter in enumerate(ours.network.parameters()):
                sums[i] += parameter.grad / 200
        means.append((torch.cat([total.flatten() for total in sums]), *np.mean(figures, axis=0)))
    (a, *our_figures), (b, *their_figures) = means
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.99
    assert a.norm().item() == pytest.approx(b.norm().item(), rel=0.05)
    assert our_figures == pytest.approx(their_figures, abs=0.3)


@pytest.mark.parametrize("config", [SGD, ADAM, replace(SGD, momentum=0.9)], ids=["sgd", "adam", "momentum"])
def test_an_update_depends_on_its_number_only(device: torch.device, config: TrainingConfig) -> None:
    """Who goes on from an update that another has done comes to the same parameters."""
    whole, resumed = Learning(device, config), Learning(device, config)
    batches = [(epoch, *pair) for epoch in range(4) for pair in enumerate(shuffled(whole.training, config, epoch))]
    for epoch, number, batch in batches[:5]:
        whole.update(batch, epoch, number)
    resumed.network.load_state_dict(whole.network.state_dict())
    resumed.optimizer.load_state_dict(deepcopy(whole.optimizer.state_dict()))
    for epoch, number, batch in batches[5:]:
        assert whole.update(batch, epoch, number) == resumed.update(batch, epoch, number)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert (one == other).all()


class SmallDevice(PlainChains):
    """Refuses chains of more than some rows, as a device does that has no room for them."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.asked: list[int] = []

    def free(self, *args: object) -> torch.Tensor:
        self.asked.append(len(args[2]))  # type: ignore[arg-type]
        if self.asked[-1] > self.rows:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {self.asked[-1]} rows")
        return super().free(*args)  # type: ignore[arg-type]


def test_an_update_without_room_is_done_in_parts_and_is_the_same_on_average(
    device: torch.device, caplog: pytest.LogCaptureFixture
) -> None:
    """The gradient of the cross-entropy shows it without chance; a chain has other random numbers in parts."""
    config = replace(ADAM, pretraining=0.25, clip_norm=None)
    whole, parts = Learning(device, config), Learning(device, config)
    small = SmallDevice(rows=40)
    parts.updates = WholeUpdates(parts.network, parts.optimizer, small, config, parts.training)
    batch = shuffled(whole.training, config, 0)[0]
    parts.update(batch, 1, 0)  # the first with a chain
    performed = WARM_UPS + 1 if device.type == "cuda" else 1  # to warm up, and to be captured
    assert small.asked == [120, 60, *[20] * 6 * performed]  # rows of six sequences, of three, of one
    assert "going on with 1" in caplog.text
    parts.network.load_state_dict(whole.network.state_dict())
    assert whole.update(batch, 0, 0) == pytest.approx(parts.update(batch, 0, 0), rel=1e-5)
    for one, other in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_a_device_without_room_for_one_sequence_is_a_problem_in_words(device: torch.device) -> None:
    learning = Learning(device, SGD)
    updates = WholeUpdates(learning.network, learning.optimizer, SmallDevice(3), SGD, learning.training)
    with pytest.raises(DeviceError, match="not room for a single one of the sequences"):
        updates(shuffled(learning.training, SGD, 0)[0], Position(0, 0))


def test_nothing_is_left_of_the_gradients_afterwards(device: torch.device) -> None:
    learning = Learning(device, SGD)
    with whole_updates(learning.network, learning.optimizer, PlainChains(), SGD, learning.training) as updates:
        updates(shuffled(learning.training, SGD, 0)[0], Position(0, 0))
    assert all(parameter.grad is None for parameter in learning.network.parameters())
