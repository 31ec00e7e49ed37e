"""What keeps free pieces like the corpus: biases, and the gain of the memory; and that it is no part of the model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model import gated_plain
from model.artefact import from_bytes, to_bytes
from model.calibration import applied, calibrate
from model.conditionals import log_probabilities
from model.corpus import PackedRolls
from model.draw_options import DrawOptions
from model.errors import ArtefactError
from model.gated_sampler import GatedSampler
from model.kernel import Kernel, kernels
from model.memory import N_PLANES, POINTER_SCALARS, POINTERS
from model.networks import network_from
from model.parameters import Parameters
from model.pianoroll import Roll
from model.sampler import gated_sampler, in_way, sampler
from model.statistics import repetition
from tests.model.test_gated import SMALL, network_of, piece

KINDS = ("lstm-rbm", "lstm-nade")
LENGTH = 60
BUNDLED = Path(__file__).parents[2] / "worker" / "bundled" / "models"
CHORALES, TUNES = (BUNDLED / f"0-{name}" / "model.safetensors" for name in ("jsb-chorales-nade", "nottingham"))


@pytest.fixture(params=kernels()[:1], ids=lambda kernel: kernel.name)
def compiled(request: pytest.FixtureRequest) -> Kernel:
    """That of this machine: all instruction sets draw the same pieces."""
    found: Kernel = request.param
    return found


def with_calibration(kind: str, gain: float = 1.0, temperature: float = 1.0) -> Parameters:
    """A model, to be drawn freely with some keys louder and some softer."""
    bare = network_of(replace(SMALL, kind=kind)).to_parameters()  # type: ignore[arg-type]
    calibration = {"free_bias": np.linspace(-1, 1, 6), "free_gain": [gain], "free_temperature": [temperature]}
    arrays = {name: np.array(values, np.float32) for name, values in calibration.items()}
    return Parameters(bare.config, {**bare.arrays, **arrays})


def bare(parameters: Parameters) -> Parameters:
    return network_from(parameters).to_parameters()


def corpus(density: float) -> PackedRolls:
    """Pieces of which the upper keys sound more often, and each of which says everything twice."""
    random = np.random.default_rng(1)
    keys = density * np.linspace(0.5, 1.5, 6)
    themes = [random.random((LENGTH // 2, 6)) < keys for _ in range(30)]
    return PackedRolls.pack([np.concatenate([theme, theme]) for theme in themes], 6)


def calibrated(parameters: Parameters, rolls: PackedRolls, kernel: Kernel) -> Parameters:
    return calibrate(parameters, rolls, lambda drawn: gated_sampler(drawn, "cpu", kernel))


@pytest.mark.parametrize(("kind", "density"), [("lstm-rbm", 0.15), ("lstm-nade", 0.5)])
def test_each_key_comes_to_sound_as_often_as_in_the_corpus(kind: str, density: float, compiled: Kernel) -> None:
    parameters, rolls = network_of(replace(SMALL, kind=kind)).to_parameters(), corpus(density)  # type: ignore[arg-type]
    found = calibrated(parameters, rolls, compiled)
    expected = np.concatenate(rolls[:]).mean(axis=0)
    before, after = (
        gated_sampler(p, "cpu", compiled).generate(LENGTH, range(9000, 9200)).mean(axis=(0, 1))
        for p in (parameters, found)
    )
    assert np.abs(before - expected).max() > 0.1
    assert np.abs(after - expected).max() < 0.05


def test_a_memory_speaks_louder_until_pieces_repeat_themselves(
    compiled: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chorales by a bundled model, which hardly repeat anything, against a corpus whose second halves are its first."""
    monkeypatch.setattr("model.calibration.GAINS", (1.0, 1.5))
    monkeypatch.setattr("model.calibration.TEMPERATURES", (1.0,))
    parameters = bare(from_bytes(CHORALES.read_bytes()))
    themes = gated_sampler(parameters, "cpu", compiled).generate(24, range(100, 112))
    rolls = PackedRolls.pack([np.concatenate([theme, theme]) for theme in themes], 88)
    found = calibrated(parameters, rolls, compiled)
    neutral = {name: np.ones(1, np.float32) for name in ("free_gain", "free_temperature")}
    softly, loudly = (
        np.mean([repetition(roll) for roll in gated_sampler(p, "cpu", compiled).generate(48, range(100))])
        for p in (Parameters(found.config, {**found.arrays, **neutral}), found)
    )
    assert found.arrays["free_gain"][0] > 1
    assert loudly > 2 * softly


def test_the_same_corpus_gives_the_same_calibration(compiled: Kernel) -> None:
    parameters, rolls = with_calibration("lstm-nade"), PackedRolls.pack(corpus(0.3)[:5], 6)
    one, other = (calibrated(p, rolls, compiled) for p in (parameters, bare(parameters)))
    assert to_bytes(one) == to_bytes(other)


def test_a_model_without_memory_has_a_bias_alone(compiled: Kernel) -> None:
    parameters = network_of(replace(SMALL, kind="lstm-rbm", n_channels=0)).to_parameters()
    found = calibrated(parameters, corpus(0.3), compiled)
    assert found.arrays.keys() - parameters.arrays.keys() == {"free_bias", "free_most"}


def test_the_most_notes_are_those_of_the_densest_stretch(compiled: Kernel) -> None:
    """And a tenth more; here of 16 frames of five notes, amid silence."""
    roll = np.zeros((60, 6), np.bool_)
    roll[21:37, :5] = True
    parameters = network_of(replace(SMALL, kind="lstm-nade")).to_parameters()
    found = calibrated(parameters, PackedRolls.pack([roll, roll[:3]], 6), compiled)
    assert found.arrays["free_most"][0] == pytest.approx(5.5)


def test_what_would_take_too_long_is_not_calibrated(compiled: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.calibration.MOST_WORK", 1000)
    assert (
        bare(with_calibration("lstm-nade")).arrays.keys()
        == calibrated(with_calibration("lstm-nade"), corpus(0.3), compiled).arrays.keys()
    )


@pytest.fixture
def forgetful() -> Parameters:
    """A bundled RNN-RBM, whose pieces repeat nothing."""
    return from_bytes(TUNES.read_bytes()).without_recall()


def thrice(parameters: Parameters, kernel: Kernel) -> list[Roll]:
    """Tunes by it of 60 frames, each played three times."""
    return [np.tile(tune, (3, 1)) for tune in sampler(parameters, "cpu", kernel).generate(60, range(100, 120))]


def recalling(parameters: Parameters, rolls: list[Roll], kernel: Kernel) -> Parameters:
    return calibrate(parameters, PackedRolls.pack(rolls, 88), lambda drawn: sampler(drawn, "cpu", kernel))


def test_an_rnn_rbm_recalls_until_pieces_repeat_themselves(compiled: Kernel, forgetful: Parameters) -> None:
    """Its tensors stay as they are."""
    found = recalling(forgetful, thrice(forgetful, compiled), compiled)
    before, after = (
        np.mean([repetition(roll) for roll in sampler(p, "cpu", compiled).generate(180, range(900, 1000))])
        for p in (forgetful, found)
    )
    assert before < 0.01
    assert after > 0.3
    assert found.arrays.keys() == forgetful.arrays.keys()
    assert recalling(found, thrice(forgetful, compiled), compiled).config == found.config


def test_at_a_finer_time_step_longer_pieces_are_compared(compiled: Kernel, forgetful: Parameters) -> None:
    """What is recalled lies 288 frames back, or more."""
    finer = Parameters(replace(forgetful.config, steps_per_beat=12), forgetful.arrays)
    rolls = [np.tile(tune, (12, 1)) for tune in sampler(finer, "cpu", compiled).generate(60, range(100, 110))]
    assert recalling(finer, rolls, compiled).config.recall > 0


def test_an_rnn_rbm_recalls_nothing_where_the_corpus_repeats_nothing(compiled: Kernel, forgetful: Parameters) -> None:
    rolls = list(sampler(forgetful, "cpu", compiled).generate(180, range(100, 120)))
    assert recalling(forgetful, rolls, compiled).config.recall == 0


def test_an_rnn_rbm_recalls_no_more_than_its_density_bears(
    compiled: Kernel, forgetful: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it recalls makes it a little sparser, here of a corpus that is denser than it already."""
    monkeypatch.setattr("model.calibration.RECALLS", (0.0, 6.0))
    denser = [roll | np.roll(roll, 12, axis=1) for roll in thrice(forgetful, compiled)]
    assert recalling(forgetful, denser, compiled).config.recall == 0
    monkeypatch.setattr("model.calibration.DENSITY", 1.0)
    assert recalling(forgetful, denser, compiled).config.recall == 6


def test_a_gain_is_that_of_what_the_pointers_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the parameters or in the contexts: it comes to the same."""
    parameters = with_calibration("lstm-nade", gain=1.7)
    roll = piece(SMALL, 40)
    expected = gated_plain.log_probabilities(applied(parameters), roll)
    arrays = {**bare(parameters).arrays, "bv": parameters.arrays["bv"] + parameters.arrays["free_bias"]}
    louder = Parameters(parameters.config, arrays)
    original = gated_plain.contexts

    def amplified(roll: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        planes, scalars = original(roll)
        assert planes.shape[1] == N_PLANES
        planes[:, list(POINTERS)] *= 1.7
        scalars[:, POINTER_SCALARS] *= 1.7
        return planes, scalars

    monkeypatch.setattr(gated_plain, "contexts", amplified)
    np.testing.assert_allclose(gated_plain.log_probabilities(louder, roll), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_no_part_of_the_model_itself(kind: str, compiled: Kernel) -> None:
    """Not of likelihoods, nor of the tutorial's way, nor of what is filled in."""
    one, other = (p := with_calibration(kind, 1.5, 0.7)), bare(p)
    roll, kept = piece(SMALL, 24), np.random.default_rng(3).random((24, 6)) < 0.5
    samplers = [gated_sampler(parameters, "cpu", compiled) for parameters in (one, other)]
    if kind == "lstm-nade":
        assert (log_probabilities(one, [roll], compiled) == log_probabilities(other, [roll], compiled)).all()
    free, filled, tutorial = (
        [work(sample) for sample in samplers]
        for work in (
            lambda sample: sample.generate(24, range(4)),
            lambda sample: sample.infill(roll, kept, [1], DrawOptions(particles=4)),
            lambda sample: in_way(sample, "tutorial").generate(24, range(4)),
        )
    )
    assert (free[0] != free[1]).any()
    assert (filled[0] == filled[1]).all()
    assert (tutorial[0] == tutorial[1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_free_piece_is_drawn_from_the_parameters_that_it_makes(kind: str, compiled: Kernel) -> None:
    parameters = with_calibration(kind, 1.5, 0.7)
    found = gated_sampler(parameters, "cpu", compiled).generate(24, range(4), DrawOptions(temperature=0.9))
    made = gated_sampler(applied(parameters), "cpu", compiled)
    assert isinstance(made, GatedSampler)
    assert made.calibrated is None
    temperature = 0.9 * float(parameters.arrays["free_temperature"][0])
    assert (made.generate(24, range(4), DrawOptions(temperature=temperature)) == found).all()


def test_a_file_keeps_it_and_what_it_holds_is_checked() -> None:
    parameters = with_calibration("lstm-nade", 1.5, 0.7)
    loaded = from_bytes(to_bytes(parameters, half=True))
    assert loaded.arrays["free_gain"] == 1.5
    np.testing.assert_allclose(loaded.arrays["free_bias"], parameters.arrays["free_bias"], atol=1e-3)
    wrong = Parameters(parameters.config, {**parameters.arrays, "free_bias": np.zeros(5, np.float32)})
    with pytest.raises(ArtefactError, match="free_bias has shape"):
        from_bytes(to_bytes(wrong))
    without = {name: array for name, array in parameters.arrays.items() if name != "free_gain"}
    assert "free_bias" in from_bytes(to_bytes(Parameters(parameters.config, without))).arrays
