"""A plugin of pytest that tells of each failure when it happens, so that it is known if the tests are not let end."""

import pytest

MARK = "!! "
"""Begins each line that is told."""
MOST_LINES = 40


class Failures:
    """Prints what failed, and the end of why."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What pytest, or of several processes the one that leads them, learns of a test."""
        if report.failed:
            lines = [f"FAILED {report.nodeid} ({report.when})", *report.longreprtext.splitlines()[-MOST_LINES:]]
            print("", *(MARK + line for line in lines), sep="\n", flush=True)


def pytest_configure(config: pytest.Config) -> None:
    """Come in, but for processes that are led by another."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures())
