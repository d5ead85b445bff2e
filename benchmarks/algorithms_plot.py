"""How well every detector does on every generated fleet, in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def draw(path: Path, scenarios: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Write F1 by scenario and detector; the picture's format is that of the file's ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    detectors = list(dict.fromkeys(name for figures in scenarios.values() for name in figures))
    width = 0.8 / len(detectors)
    figure, axes = plt.subplots(figsize=(10, 4.5), layout="constrained")
    for number, detector in enumerate(detectors):
        heights = [figures.get(detector, {}).get("f1", 0.0) for figures in scenarios.values()]
        places = [place + (number - len(detectors) / 2 + 0.5) * width for place in range(len(scenarios))]
        axes.bar(places, heights, width, label=detector.replace("_", " "))
    axes.set_xticks(range(len(scenarios)), [name.replace("_", " ") for name in scenarios])
    axes.set(ylabel="F1 of the alerts", title="Faults found and false alerts, at default thresholds", ylim=(0.0, 1.0))
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.savefig(path)
    plt.close(figure)
