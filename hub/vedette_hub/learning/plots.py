"""Plots of a version's report, as SVG: drawn once when it is trained, the same bytes for the same report.

Colours are variables that follow the reader's light or dark setting, texts stay text, and every plot has a title and a
description for who does not see it. Only who trains imports this: it needs matplotlib.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from vedette_hub.times import rfc3339

MAX_BYTES = 256 * 1024
"""A plot that is larger is left out."""
CHANNELS_SHOWN = 12
"""Channels in a plot at most, those that changed most."""
_WIDTH = 5.0
"""Inches of 72 points: narrow enough that texts can be read on a phone."""
_ROW = 0.32

# Placeholders: no plot has these colours by itself, and each becomes a variable.
_INK, _FAINT, _LINE = "#010101", "#010102", "#010103"
_THIS, _PREVIOUS, _ANOMALOUS, _EXCUSED = "#010104", "#010105", "#010106", "#010107"
_LIGHT = {
    _INK: "#212529", _FAINT: "#5c636a", _LINE: "#ced4da", _THIS: "#2f6f8f", _PREVIOUS: "#c25700",
    _ANOMALOUS: "#b3261e", _EXCUSED: "#2e7d32",
}  # fmt: skip
_DARK = {
    _INK: "#dfe3e7", _FAINT: "#a3abb3", _LINE: "#495057", _THIS: "#7fb6d1", _PREVIOUS: "#ffab6b",
    _ANOMALOUS: "#ff8a80", _EXCUSED: "#81c784",
}  # fmt: skip
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vedette",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "text.color": _INK,
    "text.parse_math": False,  # a channel may be called anything
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _FAINT,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "hatch.linewidth": 0.6,
}


class Plot(NamedTuple):
    """A drawing with its words."""

    name: str
    """Part of its address."""
    title: str
    description: str
    svg: bytes


def draw(report: Mapping[str, Any], channels: Mapping[str, Mapping[str, Any]]) -> list[Plot]:
    """The plots of a report; `channels` is what the lineage remembers of each.

    A plot without anything to show, or of more than MAX_BYTES, is not there.
    """
    made = [
        _scores(report["histogram"], report["backtest"]["this"]),
        _timeline(report["backtest"], report["drift"]),
        _drift(report["drift"]),
        _ranges(channels, report["channels"]),
    ]
    return [plot for plot in made if plot is not None and len(plot.svg) <= MAX_BYTES]


def _scores(histogram: Mapping[str, Any], figures: Mapping[str, Any]) -> Plot | None:
    kinds = [("normal", "normal time", _THIS, ""), ("labelled_false", "labelled false or normal", _EXCUSED, "///"),
             ("anomalous", "known to be anomalous", _ANOMALOUS, "\\\\\\")]  # fmt: skip
    shown = [(histogram[key], label, colour, hatch) for key, label, colour, hatch in kinds if sum(histogram[key])]
    if not shown:
        return None

    def paint(axes: Axes) -> None:
        bins = len(histogram["normal"])
        edges = [histogram["end"] * i / bins for i in range(bins + 1)]
        for counts, label, colour, hatch in shown:
            axes.stairs(counts, edges, label=label, color=colour, linewidth=1.6, fill=False)
            axes.stairs(counts, edges, color=colour, alpha=0.25, fill=True, hatch=hatch)
        axes.axvline(1.0, color=_INK, linewidth=1.2, linestyle="--")
        axes.text(1.03, 0.97, "boundary", transform=axes.get_xaxis_transform(), va="top", color=_INK)
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.5)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        filled = max(max(i for i, count in enumerate(counts) if count) for counts, *_ in shown) + 1
        axes.set_xlim(0.0, max(1.5, edges[filled]))
        axes.set_xlabel("score" + (f" ({histogram['end']:g}: and higher)" if filled == bins else ""))
        axes.set_ylabel("readings held out")
        _legend(axes)

    said = [f"{sum(counts):,} readings: {label}" for counts, label, _, _ in shown]
    title = "How scores lie around the boundary"
    words = f"{'; '.join(said)}. {_alerts_sentence(figures)}"
    return _plot("scores", title, words, 3.0, paint)


def _timeline(backtest: Mapping[str, Any], drift: Mapping[str, Any] | None) -> Plot | None:
    found = backtest.get("timeline")
    if found is None:
        return None
    names = ["this version"]
    if len(found["alerts"]) > 1 and drift is not None:
        names.append(f"version {drift['version']}")

    def paint(axes: Axes) -> None:
        width, bins = found["bin_seconds"], len(found["alerts"][0])
        days = [i * width / 86_400.0 for i in range(bins)]
        for place, (name, alerts) in enumerate(zip(names, found["alerts"], strict=True)):
            share = 0.8 * width / 86_400.0 / len(names)
            axes.bar([day + place * share for day in days], alerts, share, align="edge", label=name,
                     color=(_THIS, _PREVIOUS)[place])  # fmt: skip
        for i in found["known_anomalous"]:
            axes.axvspan(days[i], days[i] + width / 86_400.0, color=_ANOMALOUS, alpha=0.15, linewidth=0)
        if found["known_anomalous"]:
            axes.fill_between([], [], color=_ANOMALOUS, alpha=0.15, label="known to be anomalous")
        most = max(1, *(max(alerts) for alerts in found["alerts"]))
        axes.set_ylim(0, most * 1.1)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_xlim(0.0, bins * width / 86_400.0)
        axes.set_xlabel(f"days since {(rfc3339(found['first']) or '')[:10]}")
        axes.set_ylabel("alerts")
        _legend(axes)

    totals = [f"{name} {sum(alerts)}" for name, alerts in zip(names, found["alerts"], strict=True)]
    words = f"Alerts on data that was held out, and on data known to be anomalous: {', '.join(totals)}."
    return _plot("backtest", "Alerts over time, in the backtest", words, 2.6, paint)


def _drift(drift: Mapping[str, Any] | None) -> Plot | None:
    known = [] if drift is None else [one for one in drift["channels"] if one["psi"] is not None][:CHANNELS_SHOWN]
    if drift is None or not known:
        return None

    def paint(axes: Axes) -> None:
        axes.barh(range(len(known)), [one["psi"] for one in known], color=_THIS, height=0.6)
        axes.set_yticks(range(len(known)), [_short(one["channel"]) for one in known])
        axes.invert_yaxis()
        axes.set_xscale("symlog", linthresh=0.25)
        axes.set_xlim(0.0, max(0.6, 1.3 * max(one["psi"] for one in known)))
        axes.set_xticks([0.0, 0.1, 0.25, *([1.0] if known[0]["psi"] >= 0.8 else [])])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        for limit, meaning in ((0.1, "some"), (0.25, "strong")):
            axes.axvline(limit, color=_FAINT, linewidth=1.0, linestyle=":")
            axes.text(limit, 1.0, meaning, transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=_FAINT)
        axes.set_xlabel("population stability index")

    said = ", ".join(f"{one['channel']} {one['psi']:g}" for one in known)
    words = f"Population stability index of each channel against version {drift['version']}: {said}."
    title = f"How far the data has moved since version {drift['version']}"
    return _plot("drift", title, words, 0.9 + _ROW * len(known), paint)


def _ranges(channels: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> Plot | None:
    known = [(name, channels[name]["quantiles"]) for name in order if channels.get(name, {}).get("quantiles")]
    known = known[:CHANNELS_SHOWN]
    if not known:
        return None

    def paint(axes: Axes) -> None:
        for row, (_, levels) in enumerate(known):
            low, high = levels[0], levels[-1]
            span = (high - low) or 1.0
            at = [(level - low) / span for level in levels]
            axes.plot([at[0], at[-1]], [row, row], color=_LINE, linewidth=1.5, zorder=1)
            axes.plot([at[1], at[-2]], [row, row], color=_THIS, linewidth=6, alpha=0.45, solid_capstyle="butt")
            axes.plot([at[len(at) // 2]], [row], marker="|", markersize=13, markeredgewidth=2.5, color=_THIS)
            axes.text(0.0, row - 0.28, f"{low:.4g}", color=_FAINT, fontsize=9, ha="left", va="bottom")
            axes.text(1.0, row - 0.28, f"{high:.4g}", color=_FAINT, fontsize=9, ha="right", va="bottom")
        axes.set_yticks(range(len(known)), [_short(name) for name, _ in known])
        axes.set_ylim(len(known) - 0.5, -0.8)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.set_xlabel("smallest, middle 90 %, median, largest")

    said = "; ".join(
        f"{name} {levels[0]:.4g} to {levels[-1]:.4g}, median {levels[len(levels) // 2]:.4g}" for name, levels in known
    )
    more = f" The first {len(known)} of {len(order)} channels." if len(order) > len(known) else ""
    words = f"What the version was trained with, by channel: {said}.{more}"
    return _plot("channels", "What each channel was in training", words, 0.7 + 1.6 * _ROW * len(known), paint)


def _legend(axes: Axes) -> None:
    found = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101  # axes stand in a figure
    figure.legend(*found, loc="outside upper left", ncols=2, handlelength=1.2, columnspacing=1.0)


def _plot(name: str, title: str, words: str, height: float, paint: Callable[[Axes], None]) -> Plot:
    with mpl.rc_context(_STYLE):
        # Room at the sides: a browser's letters may be wider.
        figure = Figure(figsize=(_WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.12))
        paint(figure.add_subplot())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    words = _plain(words)
    return Plot(name, title, words, _finished(file.getvalue(), title, words).encode())


def _finished(svg: str, title: str, words: str) -> str:
    """The drawing with variables for colours, and words for who does not see it."""
    for number, colour in enumerate(_LIGHT):
        svg = svg.replace(colour, f"var(--c{number})")
    variables = ["".join(f"--c{i}:{colour};" for i, colour in enumerate(theme.values())) for theme in (_LIGHT, _DARK)]
    style = f"svg{{{variables[0]}}}@media(prefers-color-scheme:dark){{svg{{{variables[1]}}}}}"
    start = svg.index("<svg")
    head_end = svg.index(">", start)
    head = svg[start:head_end] + ' role="img" aria-labelledby="title words"'
    told = f'<title id="title">{escape(title)}</title><desc id="words">{escape(words)}</desc>'
    return f"{head}>{told}<style>{style}</style>{svg[head_end + 1 :]}"


def _alerts_sentence(figures: Mapping[str, Any]) -> str:
    rate = figures["alerts_per_device_week"]
    return "" if rate is None else f"{rate:g} alerts per device-week of normal time."


def _short(name: str) -> str:
    return _plain(name if len(name) <= 18 else f"{name[:17]}…")


def _plain(text: str) -> str:
    """The text without characters that have no place in a drawing."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
