"""The command line: training and generation without a queue, and errors in words."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model.config import Sampling
from model.midi import read_roll
from tests.pieces import midi_file

SMALL = '{"recipe": "tutorial", "epochs": 2, "n_hidden": 8, "n_hidden_recurrent": 6, "name": "mine"}'


def rnnrbm(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        (tmp_path / f"{seed}.mid").write_bytes(midi_file(seed))
    return tmp_path


def test_a_model_is_trained_and_generates_without_a_queue(folder: Path, tmp_path: Path) -> None:
    store, piece = tmp_path / "store", tmp_path / "out.mid"
    trained = rnnrbm("train", folder, "--data", store, "--config", SMALL)
    assert trained.returncode == 0, trained.stderr
    *progress, model_id = trained.stdout.splitlines()
    assert [line.split()[1] for line in progress] == ["0/2", "1/2", "2/2"]
    assert (store / "models" / model_id / "model.safetensors").exists()
    config = '{"model": "mine", "length": 30, "seed": 4}'
    generated = rnnrbm("generate", piece, "--data", store, "--config", config)
    assert generated.returncode == 0, generated.stderr
    assert len(read_roll(piece.read_bytes(), Sampling(dt=0.3))) == 30


def test_ctrl_c_keeps_what_was_learned(folder: Path, tmp_path: Path) -> None:
    config = SMALL.replace('"epochs": 2', '"epochs": 10000')
    command = [sys.executable, "-m", "worker.cli", "train", str(folder), "--data", str(tmp_path / "store"),
               "--config", config, "--id", "kept"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("epoch 2/"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.splitlines()[-1] == "kept"
    assert (tmp_path / "store" / "models" / "kept" / "model.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "nowhere"), "nowhere does not exist"),
        (("train", ".", "--config", '{"epochs": 0}'), "epochs"),
        (("train", ".", "--config", "{"), "JSON"),
        (("generate", "x.mid", "--config", '{"model": "none"}'), "there is no model 'none'"),
        (("generate", "x.mid", "--config", '{"length": -1}'), "length"),
    ],
)
def test_errors_are_said_in_words_with_status_2(arguments: tuple[str, ...], words: str) -> None:
    result = rnnrbm(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
