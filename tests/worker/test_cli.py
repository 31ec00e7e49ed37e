"""The command line: training and generation without a queue, and errors in words."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from model.config import Sampling
from model.midi import read_roll
from tests.command_line import status_of
from tests.pieces import midi_file, piece, zip_file
from worker.settings import Settings

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


def test_a_file_is_gone_on_from_and_filled_in_without_a_queue(folder: Path, tmp_path: Path) -> None:
    output, tune = tmp_path / "out.mid", folder / "0.mid"
    beats = Sampling(steps_per_beat=2)
    longer = rnnrbm("generate", output, "--primer", tune, "--config", '{"length": 8}')
    assert longer.returncode == 0, longer.stderr
    assert (read_roll(output.read_bytes(), beats)[: len(piece())] == piece()).all()
    assert len(read_roll(output.read_bytes(), beats)) == len(piece()) + 8
    config = '{"keep": [{"pitches": [60, 109]}], "gibbs_steps": 2}'
    filled = rnnrbm("generate", output, "--source", tune, "--config", config)
    assert filled.returncode == 0, filled.stderr
    assert (read_roll(output.read_bytes(), beats)[:, 60 - 21 :] == piece()[:, 60 - 21 :]).all()
    missing = rnnrbm("generate", output, "--primer", folder / "none.mid")
    assert (missing.returncode, "none.mid: No such file" in missing.stderr) == (2, True)
    refused = rnnrbm("generate", output, "--source", tune)
    assert (refused.returncode, "keep" in refused.stderr) == (2, True)


def test_a_model_is_evaluated_on_midi_and_on_rolls(folder: Path, tmp_path: Path) -> None:
    """The same pieces in a zip and as the rolls of a benchmark, under a model by its name and as a file."""
    store, archive, rolls = tmp_path / "store", tmp_path / "pieces.zip", tmp_path / "rolls.npz"
    config = SMALL.replace('"tutorial"', '"tutorial", "steps_per_beat": 2')
    model_id = rnnrbm("train", folder, "--data", store, "--config", config).stdout.splitlines()[-1]
    file = store / "models" / model_id / "model.safetensors"
    pieces = [piece(seed) for seed in range(3)]
    archive.write_bytes(zip_file({f"{seed}.mid": midi_file(seed) for seed in range(3)}))
    np.savez(
        rolls, frames=np.packbits(np.concatenate(pieces), axis=1), lengths=np.array([len(roll) for roll in pieces])
    )

    quick = ("--config", '{"temperatures": 50, "pieces": 2}')
    by_name = rnnrbm("evaluate", "mine", archive, "--data", store, *quick)
    by_file = rnnrbm("evaluate", file, rolls, *quick)
    assert by_name.returncode == by_file.returncode == 0, by_name.stderr + by_file.stderr
    one, other = json.loads(by_name.stdout), json.loads(by_file.stdout)
    assert one["frames"] == other["frames"] == 96
    assert {"log_likelihood", "log_likelihood_reverse", "accuracy", "pseudo_log_likelihood"} <= set(one)
    assert one["log_likelihood"] == pytest.approx(other["log_likelihood"], abs=1e-3)

    output = tmp_path / "out.npz"
    assert rnnrbm("conditionals", file, rolls, output).returncode == 0
    with np.load(output) as found:
        v, W, bv_t, bh_t = (found[name] for name in ("v", "W", "bv_t", "bh_t"))
    assert (v == np.concatenate(pieces)).all()
    assert (W.shape, bv_t.shape, bh_t.shape) == ((88, 8), (96, 88), (96, 8))
    h = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(float)
    log_z = [
        np.logaddexp.reduce(h @ bh + np.logaddexp(0, bv + h @ W.T).sum(1)) for bv, bh in zip(bv_t, bh_t, strict=True)
    ]
    log_p = (v * bv_t).sum(1) + np.logaddexp(0, bh_t + v @ W).sum(1) - log_z
    assert log_p.mean() == pytest.approx(one["log_likelihood"], abs=0.02)


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


def test_a_key_comes_with_the_hash_that_the_settings_take() -> None:
    key, digest = (line.split()[-1] for line in rnnrbm("key").stdout.splitlines())
    assert hashlib.sha256(key.encode()).hexdigest() == digest
    assert Settings(api_keys=f"{'0' * 64}, {digest.upper()}").key_hashes[1] == digest
    assert rnnrbm("key").stdout.split()[-1] != digest


def test_a_model_is_not_overwritten_by_another_training(folder: Path, tmp_path: Path) -> None:
    arguments = ("train", folder, "--data", tmp_path / "store", "--config", SMALL, "--id", "kept")
    assert rnnrbm(*arguments).returncode == 0
    again = rnnrbm(*arguments)
    assert again.returncode == 2
    assert "there is a model 'kept' already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "nowhere"), "nowhere does not exist"),
        (("train", ".", "--config", '{"epochs": 0}'), "epochs"),
        (("train", ".", "--config", "{"), "JSON"),
        (("generate", "x.mid", "--config", '{"model": "none"}'), "there is no model 'none'"),
        (("generate", "x.mid", "--config", '{"length": -1}'), "length"),
        (("generate", "x.png"), "x.png: without --url a piece is written as MIDI"),
        (("evaluate", "none", "."), "there is no model 'none'"),
        (("evaluate", "README.md", "."), "not a safetensors file"),
        (("evaluate", "nottingham", "nowhere"), "nowhere does not exist"),
        (("evaluate", "nottingham", "README.md"), "none of the files can be used"),
        (("evaluate", "nottingham", ".", "--config", '{"temperatures": 1}'), "temperatures"),
        (("conditionals", "nottingham", "nowhere.npz", "x.npz"), "nowhere.npz does not exist"),
    ],
)
def test_errors_are_said_in_words_with_status_2(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*arguments) == 2
    assert words in capsys.readouterr().err
