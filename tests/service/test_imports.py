"""The API's process stays light: no torch in it."""

import subprocess
import sys


def test_importing_the_app_imports_no_torch() -> None:
    code = "import sys, service.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
