"""The plots of the documentation.

The plots are readable at half their width, and without colours: position, markers or words
give the same information. The colours are from the palette of Okabe and Ito.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Sequence

from . import stats
from .catalogue import OURS
from .kinds import KINDS, crowd, flat
from .results import Key, Results
from .tables import number

OUR_COLOUR, OTHER_COLOUR, LIMIT_COLOUR = "#0072B2", "#B8B8B8", "#D55E00"
LINES = (("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"))
WIDTH = 7.2  # inches
STYLE = {
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.dpi": 130,
}


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw the plots that have figures, and return the files."""
    import matplotlib  # type: ignore[import-not-found,unused-ignore]

    matplotlib.use("Agg")
    import matplotlib.pyplot as pyplot  # type: ignore[import-not-found,unused-ignore]

    folder.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, tuple[str, Callable[[Any, Results], None]]] = {
        "requests": ("request", draw_requests),
        "relay": ("relay", draw_relay),
        "memory": ("memory", draw_memory),
        "handshake": ("handshake", draw_handshake),
        "crowd": ("crowd", draw_crowd),
        "flat": ("flat", draw_flat),
    }
    written = []
    for name, (kind, draw) in drawings.items():
        servers = results.servers(kind)
        if not servers:
            continue
        lines = name in ("crowd", "flat")
        with pyplot.rc_context(STYLE):
            height = 4.2 if lines else 1.3 + 0.42 * len(servers)
            figure, axes = pyplot.subplots(figsize=(WIDTH, height), layout="constrained")
            draw(axes, results)
            written.append(folder / f"performance-{name}.png")
            # No version of matplotlib in the file, so that equal figures make equal files.
            figure.savefig(written[-1], metadata={"Software": None})
            pyplot.close(figure)
    return written


# Bars ---------------------------------------------------------------------------------


def draw_requests(axes: Any, results: Results) -> None:
    axes.set_title("CPU time of a request and its reply")
    draw_bars(axes, results, "request", "cpu", "µs")


def draw_relay(axes: Any, results: Results) -> None:
    axes.set_title("CPU time of a relayed message and its answer")
    draw_bars(axes, results, "relay", "cpu", "µs")


def draw_memory(axes: Any, results: Results) -> None:
    axes.set_title("Memory of an idle connection")
    draw_bars(axes, results, "memory", "idle", "KiB")


def draw_handshake(axes: Any, results: Results) -> None:
    axes.set_title("CPU time of a handshake")
    draw_bars(axes, results, "handshake", "cpu", "µs")


def draw_bars(axes: Any, results: Results, kind: str, metric: str, unit: str) -> None:
    """Draw the median and the quartiles of each server, the smallest on top."""
    found = [
        (server, results.series.get(Key(kind, server, metric))) for server in results.servers(kind)
    ]
    bars = [
        (stats.median(values), stats.spread(values), server) for server, values in found if values
    ]
    medians, spreads, names = zip(*sorted(bars, reverse=True))
    errors = [
        [median - low for median, (low, _) in zip(medians, spreads)],
        [high - median for median, (_, high) in zip(medians, spreads)],
    ]
    colours = [OUR_COLOUR if name.startswith(OURS) else OTHER_COLOUR for name in names]
    axes.barh(names, medians, color=colours, xerr=errors, error_kw={"ecolor": "#505050"})
    for place, (median, (_, high)) in enumerate(zip(medians, spreads)):
        axes.annotate(
            f"{number(median)} {unit}",
            (high, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xlim(0, max(high for _, high in spreads) * 1.2)
    axes.set_xlabel(f"{unit}: the median, and where the middle half of the rounds was", fontsize=11)
    axes.tick_params(left=False)


# Lines --------------------------------------------------------------------------------


def draw_crowd(axes: Any, results: Results) -> None:
    """Draw the percentiles of each server."""
    axes.set_title("Latency at 1000 requests/s, with 10 000 idle peers")
    names = [f"p{share:g}" for share in crowd.SHARES]
    for server, (colour, marker) in zip(results.servers("crowd"), LINES):
        values = [stats.median(results.series[Key("crowd", server, name)]) for name in names]
        width = 3 if server == OURS else 1.8
        axes.plot(names, values, color=colour, marker=marker, label=server, linewidth=width)
    [target] = KINDS["crowd"].targets
    axes.plot(["p99"], [target.limit], color=LIMIT_COLOUR, marker="_", markersize=36, ls="none")
    axes.annotate(
        f"limit for p99: {target.limit:g} ms",
        ("p99", target.limit),
        xytext=(-22, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        color=LIMIT_COLOUR,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    axes.set_yscale("log")
    axes.set_ylim(top=max(axes.get_ylim()[1], target.limit * 5))
    axes.set_ylabel("ms")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(frameon=False, loc="upper left")


def draw_flat(axes: Any, results: Results) -> None:
    """Draw the cost of a request over the number of peers."""
    axes.set_title("CPU time of a request, by connected peers")
    sizes, medians, spreads = flat_figures(results)
    low, high = zip(*spreads)
    axes.plot(sizes, medians, color=OUR_COLOUR, marker="o", linewidth=3, label="median")
    axes.fill_between(
        sizes, low, high, color=OUR_COLOUR, alpha=0.15, label="middle half of the rounds"
    )
    middle = stats.median(medians)
    axes.axhspan(
        middle / flat.LIMIT**0.5,
        middle * flat.LIMIT**0.5,
        facecolor="none",
        edgecolor=LIMIT_COLOUR,
        linestyle="--",
        label="15 % wide",
    )
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}".replace(",", " ") for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, max(high) * 1.15)
    axes.set_xlabel("connected peers")
    axes.set_ylabel("µs")
    axes.legend(frameon=False, loc="lower right")


def flat_figures(
    results: Results,
) -> tuple[Sequence[int], Sequence[float], Sequence[tuple[float, float]]]:
    """Return the crowd sizes, and the medians and spreads of the cost of a request."""
    found = [
        (flat.size_of(server), results.series[Key("flat", server, "cpu")])
        for server in results.servers("flat")
        if server.startswith(f"{OURS}, ")
    ]
    sizes, series = zip(*sorted(found))
    return sizes, list(map(stats.median, series)), list(map(stats.spread, series))
