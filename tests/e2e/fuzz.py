"""schemathesis against a running service, all its checks and phases: `make fuzz`."""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.conftest import start

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")
KEY = "a-key-for-tests"
SMALL = {
    "RNNRBM_API_KEYS": hashlib.sha256(KEY.encode()).hexdigest(),
    "RNNRBM_RATE_LIMIT": "0",
    "RNNRBM_MAX_LENGTH": "256",
    "RNNRBM_MAX_PIECES": "4",
    "RNNRBM_GENERATE_TIMEOUT": "5",
}
"""Settings under which whatever is allowed takes little time."""


def fuzz(data: Path, seconds: int, *options: str) -> int:
    """Run all checks for so long; schemathesis's exit status, 0 if it found nothing."""
    server = start(data, **SMALL)
    try:
        url = f"{server.http.base_url}/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", url]
        environment = {**os.environ, "RNNRBM_KEY": KEY, "PYTHONPATH": str(ROOT)}
        run = [*command, "--max-time", str(seconds), *options]
        return subprocess.run(run, check=False, cwd=data, env=environment).returncode
    finally:
        assert server.stop() == 0


def main() -> int:
    """Run it from the command line; options that are not known here are for schemathesis."""
    parser = argparse.ArgumentParser(description="Run schemathesis against a service of its own.")
    parser.add_argument("--minutes", type=float, default=20)
    args, options = parser.parse_known_args()
    with TemporaryDirectory() as folder:
        return fuzz(Path(folder), round(60 * args.minutes), *options)


if __name__ == "__main__":
    sys.exit(main())
