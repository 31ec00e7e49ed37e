"""A search for options: trials are trainings, and a study goes on where it was left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from tests.pieces import midi_file
from worker.errors import WorkerError
from worker.protocol import TrainParams
from worker.search import SPACE, STUDY, LocalTrainer, Options, Trained, search
from worker.settings import Settings
from worker.store import MODEL, ArtefactStore

SMALL = {"epochs": 2, "n_hidden": 5, "n_hidden_recurrent": 5, "gibbs_steps": 2, "rbm_pretraining": 10}


class Trainer:
    """Tells at once how likely a model would be."""

    def __init__(self, value: Callable[[Options], float]) -> None:
        self.value = value
        self.asked: list[Options] = []
        self.stopped = False

    def train(self, options: Options) -> Trained:
        self.asked.append(options)
        value = self.value(options)
        return Trained(f"m{len(self.asked)}", {"log_likelihood": value + 1, "log_likelihood_reverse": value})

    def stop(self) -> None:
        self.stopped = True


def trials_of(file: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    return optuna.load_study(study_name=STUDY, storage=storage).trials


def test_trials_are_trainings_and_a_study_goes_on(tmp_path: Path) -> None:
    for seed in range(2):
        (tmp_path / f"{seed}.mid").write_bytes(midi_file(seed, bars=8))
    settings = Settings(data=str(tmp_path / "var"), device="cpu")
    store = ArtefactStore(settings.data)

    def go_on(trials: int) -> dict[str, Any]:
        trainer = LocalTrainer([tmp_path / "0.mid", tmp_path / "1.mid"], settings)
        return search(tmp_path / "study", TrainParams.model_validate(SMALL), trials, 2, trainer)

    found = go_on(2)
    assert len(store.keys(MODEL)) == 2 + len(store.bundled_names())
    record = store.record(MODEL, found["model"])
    assert found["log_likelihood"] == min(
        record["reached"]["log_likelihood"], record["reached"]["log_likelihood_reverse"]
    )
    assert {**record["training"], **record["config"], "recipe": "fast"}.items() >= found["config"].items()
    assert found["config"].items() >= SMALL.items()
    assert go_on(2) == found
    go_on(3)
    assert len(store.keys(MODEL)) == 3 + len(store.bundled_names())


def test_the_best_of_all_trials_is_found(tmp_path: Path) -> None:
    trainer = Trainer(lambda options: -abs(options["input_dropout"] - 0.3) - options["n_hidden"])
    found = search(tmp_path / "study", TrainParams(n_hidden=8), 12, 3, trainer)
    assert len(trainer.asked) == 12
    assert all(options["n_hidden"] == 8 and options.keys() >= SPACE.keys() for options in trainer.asked)
    assert found["log_likelihood"] == max(map(trainer.value, trainer.asked))
    assert trainer.value(found["config"]) == found["log_likelihood"]


def test_a_trial_that_fails_is_one_of_the_study_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def value(options: Options) -> float:
        raise WorkerError("training diverged")

    with pytest.raises(WorkerError, match="no trial has succeeded"):
        search(tmp_path / "study", TrainParams(), 2, 1, Trainer(value))
    assert "trial 1: training diverged" in capsys.readouterr().err
    assert [trial.state.name for trial in trials_of(tmp_path / "study")] == ["FAIL", "FAIL"]


def test_what_was_running_when_a_search_was_left_is_tried_again(tmp_path: Path) -> None:
    def interrupted(options: Options) -> float:
        raise KeyboardInterrupt

    first = Trainer(interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "study", TrainParams(), 1, 1, first)
    assert first.stopped
    second = Trainer(lambda _: 1.0)
    search(tmp_path / "study", TrainParams(), 1, 1, second)
    assert second.asked == first.asked
