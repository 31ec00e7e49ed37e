"""The picture of a corpus's statistics, with matplotlib: pitches, polyphony, lengths and keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from model.curve import COLOURS, new_figure, png_of, style


def overview_png(statistics: Mapping[str, Any], *, title: str) -> bytes:
    """PNG of what `model.overview.Overview.to_dict` gives."""
    figure = new_figure(11, 7)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, parse_math=False)
    axes = figure.subplots(2, 2)
    _draw_pitches(axes[0, 0], np.array(statistics["pitches"]))
    polyphony = np.trim_zeros(np.array(statistics["polyphony"]), "b")
    _bars(axes[0, 1], [str(n) for n in range(len(polyphony))], polyphony / polyphony.sum())
    style(axes[0, 1], "Polyphony", "notes at once", "share of half beats")
    edges = statistics["seconds_edges"]
    _bars(axes[1, 0], [_duration(edge) for edge in edges], statistics["seconds_counts"])
    axes[1, 0].tick_params(axis="x", rotation=45)
    style(axes[1, 0], "Length", "from (minutes:seconds)", "pieces")
    keys = statistics["keys"]
    _bars(axes[1, 1], list(keys), list(keys.values()))
    axes[1, 1].tick_params(axis="x", rotation=90)
    style(axes[1, 1], "Key", "", "pieces")
    return png_of(figure)


def _draw_pitches(axes: Axes, counts: Any) -> None:
    sounding = np.flatnonzero(counts)
    low, high = int(sounding[0]), int(sounding[-1])
    axes.bar(range(low, high + 1), counts[low : high + 1], width=0.9, color=COLOURS[0])
    ticks = range(-(-low // 12) * 12, high + 1, 12)  # every C
    axes.set_xticks(ticks, [f"C{pitch // 12 - 1}" for pitch in ticks])
    style(axes, "Pitch", "key", "notes")


def _bars(axes: Axes, labels: Sequence[str], heights: Any) -> None:
    axes.bar(range(len(labels)), heights, width=0.9, color=COLOURS[0])
    axes.set_xticks(range(len(labels)), labels)


def _duration(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02}"
