"""The tutorial's class, as a student uses it."""

import io
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pretty_midi
import pytest

from model import RnnRbm
from model.errors import CorpusError
from tests.pieces import midi_file

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        (tmp_path / f"{seed}.mid").write_bytes(midi_file(seed))
    return tmp_path


def test_it_trains_with_a_line_per_epoch_and_generates(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mpl.use("agg")
    model = RnnRbm(n_hidden=10, n_hidden_recurrent=5)
    model.train(sorted(folder.glob("*.mid")), batch_size=20, num_epochs=3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["Epoch", f"{n}/3"] for n in (1, 2, 3)]
    roll = model.generate(folder / "sample.mid", show=True)
    assert roll.shape == (200, 88)
    midi = pretty_midi.PrettyMIDI(io.BytesIO((folder / "sample.mid").read_bytes()))
    assert midi.get_end_time() == pytest.approx(60.0, abs=0.01)
    assert (model.generate(folder / "other.mid", show=False) != roll).any()


def test_no_files_are_a_clear_error() -> None:
    with pytest.raises(CorpusError, match="Training set is empty"):
        RnnRbm().train([])


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "bad.mid").write_bytes(b"no music")
    with pytest.raises(CorpusError, match=r"bad\.mid"):
        RnnRbm(n_hidden=5).train(sorted(folder.glob("*.mid")))


def test_ctrl_c_keeps_what_was_learned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = RnnRbm(n_hidden=10, n_hidden_recurrent=5)
    before = model.network.W.clone()
    printed = []

    def interrupt_at_the_second_epoch(line: str, **_: object) -> None:
        printed.append(line)
        if line.startswith("Epoch 2/"):
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupt_at_the_second_epoch)
    model.train(sorted(folder.glob("*.mid")), num_epochs=50)
    assert printed[-1] == "Interrupted by user."
    assert (before != model.network.W).any()


def test_the_example_runs(folder: Path) -> None:
    command = [sys.executable, "examples/tutorial.py", str(folder), "--epochs", "1", "--out", str(folder / "out")]
    subprocess.run(command, check=True, cwd=ROOT, env={"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)})
    for name in ("sample1.mid", "sample2.mid", "sample1.png", "sample2.png"):
        assert (folder / "out" / name).stat().st_size > 100
