"""Training curves as PNG, with matplotlib; apart from model.plot, so that rolls do not wait for it."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from threading import Lock
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

Metrics = Sequence[Mapping[str, float]]
"""Of each epoch."""

NOT_DRAWN = ("epoch", "seconds", "cost")
"""The cost of contrastive divergence is a difference that hovers near zero, whatever was learned."""
COLOURS = ("#2f6db3", "#c8553d", "#3d8f6a", "#8a5fb0", "#b8892b", "#5b6770", "#c2609b", "#3aa3b5")
MOST_MARKED = 40
"""Epochs of the longest line on which each is marked."""
COMPARED: dict[str, Literal["-", ":"]] = {"monitor": "-", "zero_start": ":"}
"""Which metrics are compared, and their lines."""
DARK, MIDDLE = "#2a2a27", "#6d6d66"
_drawing = Lock()
"""matplotlib does one thing at a time: it keeps fonts and text layouts for the whole process."""


def curve_png(metrics: Metrics, *, title: str) -> bytes:
    """PNG of per-epoch metrics: `epoch` to the right, a line for each metric in nats a frame, larger is better.

    Metrics that some epochs lack (a validation every tenth, say) are drawn through those that have them.
    """
    figure, axes = _figure_of_curves(title)
    keys = [key for key in dict.fromkeys(key for row in metrics for key in row) if key not in NOT_DRAWN]
    for index, key in enumerate(keys):
        _draw(axes, metrics, key, COLOURS[index % len(COLOURS)], "-", key.replace("_", " "))
    if keys:
        axes.legend(frameon=False, labelcolor=DARK)
    return png_of(figure)


def curves_png(models: Sequence[tuple[str, Metrics]]) -> bytes:
    """PNG of the curves of several named models: a colour for each, a kind of line for each metric."""
    figure, axes = _figure_of_curves("Training curves")
    for index, (name, metrics) in enumerate(models):
        for key, style in COMPARED.items():
            label = name if key == "monitor" else "_"  # matplotlib's way to leave a line out of the legend
            _draw(axes, metrics, key, COLOURS[index % len(COLOURS)], style, label)
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    lines += [
        Line2D([], [], color=MIDDLE, linestyle=style, label=key.replace("_", " ")) for key, style in COMPARED.items()
    ]
    legend = axes.legend(handles=lines, frameon=False, labelcolor=DARK)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return png_of(figure)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that needs no screen."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style(axes: Axes, title: str, x: str, y: str) -> None:
    """The looks that all charts have in common."""
    axes.set_title(title, loc="left", fontsize=12, color=DARK, parse_math=False)
    axes.set_xlabel(x, color=MIDDLE)
    axes.set_ylabel(y, color=MIDDLE)
    axes.grid(color="#ecece8")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#d2d2cb")
    axes.tick_params(colors=MIDDLE, labelsize=9)


def png_of(figure: Figure) -> bytes:
    """The figure as PNG."""
    file = BytesIO()
    with _drawing:
        figure.savefig(file, format="png")
    return file.getvalue()


def _figure_of_curves(title: str) -> tuple[Figure, Axes]:
    figure = new_figure(9, 4.8)
    axes = figure.add_subplot()
    style(axes, title, "epoch", "nats a frame")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure, axes


def _draw(axes: Axes, metrics: Metrics, key: str, colour: str, line: str, label: str) -> None:
    rows = [row for row in metrics if key in row]
    axes.plot(
        [row["epoch"] for row in rows],
        [row[key] for row in rows],
        color=colour,
        linestyle=line,
        linewidth=1.8,
        marker="o" if len(rows) <= MOST_MARKED else "",
        markersize=4,
        label=label,
    )
