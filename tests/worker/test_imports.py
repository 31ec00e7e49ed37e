"""What the process of a worker for pieces starts without."""

import subprocess
import sys


def test_a_worker_for_pieces_loads_nothing_large_that_it_does_not_need() -> None:
    large = {"torch", "symusic", "pretty_midi", "fsspec", "matplotlib", "PIL", "fastapi"}
    script = "import sys, worker.cli, worker.process, worker.jobs; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "worker.warm" in loaded
    assert large.isdisjoint(loaded)
