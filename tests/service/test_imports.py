"""The API's process stays light: no torch in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from model.kernel import best


def test_importing_the_app_imports_no_torch() -> None:
    code = "import sys, service.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_likelihood_of_a_piece_imports_no_torch_where_the_kernel_is(tmp_path: Path) -> None:
    if best() is None:
        pytest.skip("the compiled kernel is not there, and a worker computes it")
    code = f"""
import sys
import numpy as np
from worker.rendering import log_likelihood_of
from worker.store import GENERATION, ArtefactStore

store = ArtefactStore({str(tmp_path)!r})
model = store.find_model("nottingham")
record = {{"id": "piece", "n": 1, "length": 8, "model": model["id"], "pitch_range": [21, 109]}}
store.publish(GENERATION, "piece", record, {{"piece.roll": np.packbits(np.eye(8, 88, dtype=bool)).tobytes()}})
assert log_likelihood_of(store, record) < 0
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
