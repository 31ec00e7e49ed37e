"""What /openapi.json promises, the service does: the short part of `make fuzz`."""

from pathlib import Path

from tests.e2e.fuzz import fuzz

SECONDS = 45


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    assert fuzz(tmp_path, SECONDS, "--seed", "1") == 0
