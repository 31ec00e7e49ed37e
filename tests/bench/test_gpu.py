"""The program that measures GPUs, in miniature and on the CPU; and how it gets on where something is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import gpu
from bench.device_limits import Limits
from bench.device_work import MODEL
from bench.needs import missing, missing_by_test
from model.device import usable_gpus

ROOT = Path(__file__).parents[2]


def test_a_miniature_of_a_run_without_a_gpu(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "bench.gpu", "--device", "cpu", "--small", "--json", str(path)]
    ended = subprocess.run(
        [*command, "--only", "chains", "updates"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = json.loads(path.read_text())["rows"]
    assert [row["name"] for row in rows[:3]] == ["GEMM, float32", "GEMM, tf32", "GEMM, bfloat16"]
    assert {"an update of 1 sequence", "training, 4 sequences an update"} < {row["name"] for row in rows}
    assert not any("NOT MEASURED" in row["note"] for row in rows)
    assert "share of the roofline" in ended.stdout


def test_parts_for_which_no_time_is_left_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "SECONDS", 0.0)
    rows = list(gpu.times(torch.device("cpu"), "cpu", ("chains", "updates"), small=True))
    assert [row.note for row in rows[-2:]] == ["no time was left: NOT MEASURED"] * 2


def test_the_roofline_is_the_slowest_of_the_three() -> None:
    """Of a frame by CD-15: 792,000 operations for the chain and some more, 3,570 random numbers, 963 bytes."""
    assert Limits(1e30, 3570.0, 1e30).seconds(10, MODEL, 15) == 10
    assert Limits(1e30, 1e30, 963.0).seconds(1, MODEL, 15) == 1
    assert 1 < Limits(792_000.0, 1e30, 1e30).seconds(1, MODEL, 15) < 1.6


def test_tests_that_need_what_is_not_there_are_found_without_running_them(tmp_path: Path) -> None:
    file = tmp_path / "test_some.py"
    file.write_text("""
import json
from typing import TYPE_CHECKING
from model import rbm
from tests.model.conftest import Way
if TYPE_CHECKING:
    import absent_for_types
try:
    import absent_but_tried
except ImportError:
    pass

def helper(): import absent_and_never_called

def test_one(): from absent_in_a_test.inner import thing

def test_other(): import numpy
""")
    assert missing(file) == []
    assert missing_by_test(file) == {"test_one": ["absent_in_a_test"]}
    file = tmp_path / "test_others.py"
    file.write_text('import pytest\npytest.importorskip("absent_or_skipped")\nfrom absent_too import what')
    assert missing(file) == ["absent_or_skipped", "absent_too"]


def test_what_came_of_the_models_tests_is_told_in_words() -> None:
    asked = ["tests/model/test_rbm.py", "-k", "fair_coins and cpu"]
    assert gpu._tested(asked, 240.0)[0] == "green: 1 passed"
    assert gpu._tested(asked, 0.0)[0].startswith("NOT DONE in 0 s")


def test_make_bench_has_the_lines_of_a_gpu_only_where_there_is_one() -> None:
    if not usable_gpus():
        assert gpu.rows_of_run(None) == []  # type: ignore[arg-type] # it is not looked at
