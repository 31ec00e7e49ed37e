"""`rnnrbm search`: trainings with options that Optuna chooses, several at once, in a study that can be gone on with.

Every trial is a training like any other, here or as a job of a service. Its value is how likely it finds the pieces
that were held out, in nats a frame: the lower of the estimates from above and from below. These are the same pieces for
all trials, as those have the same `seed`.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from worker.errors import StartError, WorkerError
from worker.protocol import TrainParams, new_id
from worker.settings import Settings
from worker.store import MODEL, ArtefactStore

if TYPE_CHECKING:
    import optuna

    from client.api import Client

STUDY = "rnnrbm"
PROBLEM = "problem"
"""What a trial that failed has to say; one without was interrupted."""
Options = dict[str, Any]

SPACE: Mapping[str, Callable[["optuna.Trial"], Any]] = {
    "lr": lambda trial: trial.suggest_float("lr", 3e-4, 1e-2, log=True),
    "n_hidden": lambda trial: trial.suggest_categorical("n_hidden", [50, 100, 150, 250]),
    "n_hidden_recurrent": lambda trial: trial.suggest_categorical("n_hidden_recurrent", [100, 200, 300]),
    "gibbs_steps": lambda trial: trial.suggest_int("gibbs_steps", 5, 30),
    "pretraining": lambda trial: trial.suggest_float("pretraining", 0.0, 0.6),
    "rbm_pretraining": lambda trial: trial.suggest_categorical("rbm_pretraining", [0, 2000, 8000]),
    "input_dropout": lambda trial: trial.suggest_float("input_dropout", 0.0, 0.4),
    "average": lambda trial: trial.suggest_categorical("average", [0.0, 0.99, 0.995]),
    "transpose": lambda trial: trial.suggest_categorical("transpose", [0, 2, 5]),
}
"""What is searched, but for what the user says."""


@dataclass(frozen=True)
class Trained:
    """What a trial came to."""

    model: str
    metrics: Mapping[str, float]

    @property
    def value(self) -> float:
        """Nats a frame.

        Raises:
            WorkerError: there is none.
        """
        if "log_likelihood" not in self.metrics:
            raise WorkerError("there is no likelihood, as nothing was held out: say `validation`")
        return min(self.metrics["log_likelihood"], self.metrics["log_likelihood_reverse"])


class Trainer(Protocol):
    """Who trains; several threads call `train` at once."""

    def train(self, options: Options) -> Trained:
        """A training with these options of POST /train.

        Raises:
            WorkerError: it failed.
        """
        ...

    def stop(self) -> None:
        """End all trainings: nobody waits for them any more."""
        ...


def search(file: Path, said: TrainParams, trials: int, parallel: int, trainer: Trainer) -> dict[str, Any]:
    """Go on with the study in a file until it has so many trials, `parallel` at once; its best, as JSON.

    Raises:
        StartError: Optuna is not there.
        WorkerError: no trial has succeeded.
    """
    study = _opened(file)
    fixed = said.model_dump(mode="json", exclude_none=True)
    running: dict[Future[Trained], optuna.Trial] = {}
    with ThreadPoolExecutor(parallel) as pool:
        try:
            while running or _n_done(study) < trials:
                while len(running) < min(parallel, trials - _n_done(study)):
                    trial = study.ask()
                    running[pool.submit(trainer.train, _suggested(trial, fixed) | fixed)] = trial
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    _tell(study, running.pop(future), future)
        except BaseException:
            trainer.stop()
            raise
    return _best(study, fixed)


def _opened(file: Path) -> "optuna.Study":
    """The study, new or gone on with; what was running when it was left is tried again."""
    try:
        import optuna  # noqa: PLC0415 (an extra)
        from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415
    except ImportError as error:
        raise StartError("a search takes Optuna: pip install --constraint constraints.txt optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    study = optuna.create_study(study_name=STUDY, storage=storage, direction="maximize", load_if_exists=True)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _n_done(study: "optuna.Study") -> int:
    return sum(trial.value is not None or PROBLEM in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def _suggested(trial: "optuna.Trial", fixed: Options) -> Options:
    return {name: suggest(trial) for name, suggest in SPACE.items() if name not in fixed}


def _tell(study: "optuna.Study", trial: "optuna.Trial", future: Future[Trained]) -> None:
    """Let the study know how a trial ended, and whoever looks on."""
    from optuna.trial import TrialState  # noqa: PLC0415 (an extra)

    try:
        trained = future.result()
        value = trained.value
    except WorkerError as error:
        trial.set_user_attr(PROBLEM, str(error))
        study.tell(trial, state=TrialState.FAIL)
        _show(f"trial {trial.number}: {error}")
        return
    trial.set_user_attr("model", trained.model)
    study.tell(trial, value)
    _show(f"trial {trial.number}: {value:.3f} nats a frame, model {trained.model}, {json.dumps(trial.params)}")


def _best(study: "optuna.Study", fixed: Options) -> dict[str, Any]:
    try:
        best = study.best_trial
    except ValueError as error:
        raise WorkerError("no trial has succeeded") from error
    return {"model": best.user_attrs["model"], "log_likelihood": best.value, "config": best.params | fixed}


def _show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 (a terminal is what it is for)


@dataclass
class LocalTrainer:
    """Trains in processes of this machine, as `rnnrbm train` does."""

    paths: Sequence[Path]
    settings: Settings
    processes: set["subprocess.Popen[str]"] = field(default_factory=set)

    def train(self, options: Options) -> Trained:
        """See `Trainer`."""
        model = new_id()
        command = [sys.executable, "-m", "worker.cli", "train", *map(str, self.paths), "--id", model]
        command += ["--config", json.dumps(options), "--data", self.settings.data]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.processes.add(process)
        _, errors = process.communicate()
        self.processes.discard(process)
        if process.returncode:
            raise WorkerError(errors.strip().rpartition("\n")[2] or f"it ended with {process.returncode}")
        return Trained(model, ArtefactStore(self.settings.data).record(MODEL, model)["reached"])

    def stop(self) -> None:
        """See `Trainer`."""
        for process in list(self.processes):
            process.terminate()


@dataclass
class RemoteTrainer:
    """Has a service train, by jobs in its queue."""

    client: "Client"
    corpus: str
    jobs: set[str] = field(default_factory=set)
    stopped: bool = False

    def train(self, options: Options) -> Trained:
        """See `Trainer`."""
        from client.errors import ClientError  # noqa: PLC0415 (only where a service is asked)

        try:
            job = self.client.train_on(self.corpus, **options)
            self.jobs.add(job.id)
            if self.stopped:  # while the job was on its way
                self.client.cancel(job.id)
            result = self.client.wait(job.id).result or {}
        except ClientError as error:
            raise WorkerError(str(error)) from error
        self.jobs.discard(job.id)
        return Trained(result["model"], result["metrics"])

    def stop(self) -> None:
        """See `Trainer`."""
        self.stopped = True
        for job in list(self.jobs):
            self.client.cancel(job)
