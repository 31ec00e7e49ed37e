"""Training curves as PNG, with matplotlib; apart from model.plot, so that rolls do not wait for it."""

from collections.abc import Mapping, Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

NOT_DRAWN = ("epoch", "seconds", "cost")
"""The cost of contrastive divergence is a difference that hovers near zero, whatever was learned."""
COLOURS = ("#2f6db3", "#c8553d", "#3d8f6a", "#8a5fb0", "#b8892b", "#5b6770")


def curve_png(metrics: Sequence[Mapping[str, float]], *, title: str) -> bytes:
    """PNG of per-epoch metrics: `epoch` to the right, a line for each metric in nats a frame, larger is better.

    Metrics that some epochs lack (a validation every tenth, say) are drawn through those that have them.
    """
    figure = Figure(figsize=(9, 4.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    keys = [key for key in dict.fromkeys(key for row in metrics for key in row) if key not in NOT_DRAWN]
    for index, key in enumerate(keys):
        rows = [row for row in metrics if key in row]
        axes.plot(
            [row["epoch"] for row in rows],
            [row[key] for row in rows],
            color=COLOURS[index % len(COLOURS)],
            linewidth=1.8,
            marker="o" if len(rows) <= 40 else "",
            markersize=4,
            label=key.replace("_", " "),
        )
    _style(axes, title, keys)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _style(axes: Axes, title: str, keys: list[str]) -> None:
    axes.set_title(title, loc="left", fontsize=12, color="#2a2a27", parse_math=False)
    axes.set_xlabel("epoch", color="#6d6d66")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="#ecece8")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#d2d2cb")
    axes.tick_params(colors="#6d6d66", labelsize=9)
    axes.set_ylabel("nats a frame", color="#6d6d66")
    if keys:
        axes.legend(frameon=False, labelcolor="#2a2a27")
