"""The command `rnnrbm` in the process of the tests, which spares each the start of one."""

import signal

from worker.cli import main


def status_of(*arguments: str) -> int | str | None:
    """The exit status; what it raises beside that would be a traceback for the user, and is one for the test."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code
    finally:
        signal.signal(signal.SIGTERM, before)
