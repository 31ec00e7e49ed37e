"""One table for people and one JSON file for machines, of the same rows."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SMALLER_IS_BETTER = {"ms", "s", "exponent"}
HEADINGS = ("", "by", "figure", "unit", "baseline", "its figure", "ratio", "goal", "")
NUMBERS = {2, 5, 6, 7}
"""Columns of numbers."""


@dataclass(frozen=True)
class Row:
    """A figure, what it is compared with, and what it should be; None where there is none."""

    name: str
    by: str
    """Library or kernel that did the work."""
    figure: float | None
    unit: str
    baseline: str = ""
    baseline_figure: float | None = None
    goal: float | None = None
    note: str = ""
    """Why a figure is missing, or what is to be known about it."""

    @property
    def ratio(self) -> float | None:
        """How many times better than the baseline, whichever way is better."""
        if not self.figure or not self.baseline_figure:
            return None
        ratio = self.figure / self.baseline_figure
        return 1 / ratio if self.unit in SMALLER_IS_BETTER else ratio

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; a figure that is missing reaches none."""
        if self.goal is None:
            return None
        if self.figure is None:
            return False
        return self.figure <= self.goal if self.unit in SMALLER_IS_BETTER else self.figure >= self.goal

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        figure = "none" if self.figure is None else number(self.figure)
        compared = "missing" if self.baseline and self.baseline_figure is None else number(self.baseline_figure)
        return (
            self.name, self.by, figure, self.unit, self.baseline, compared,
            f"{number(self.ratio)} x" if self.ratio else "", number(self.goal), self._verdict(),
        )  # fmt: skip

    def _verdict(self) -> str:
        verdict = {None: "", True: "met", False: "NOT MET"}[self.met]
        return ": ".join(part for part in (verdict, self.note) if part)


def number(value: float | None) -> str:
    """Three digits or more: 1,234 and 12.3 and 0.123."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def table(rows: Sequence[Row]) -> str:
    """All rows under their headings; numbers to the right."""
    cells = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(line, widths) for line in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def write(path: Path, facts: dict[str, Any], rows: Sequence[Row], details: dict[str, Any]) -> None:
    """The JSON file: `facts` about the run, `rows`, and under `details` every answer behind them."""
    content = {**facts, "rows": [row.to_dict() for row in rows], "details": details}
    path.write_text(json.dumps(content, indent=1) + "\n")
