"""What an alert budget costs and keeps: target, realised rate and recall, in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TARGETS = ("1", "0.5", "0.2")


def draw(path: Path, figures: Mapping[str, Any]) -> None:
    """Write the picture; its format is that of the file's ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, source in (("thresholds from the other categories", figures), ("as delivered", figures["built_in"])):
        points = [source[target] for target in TARGETS]
        targets = [point["target"] for point in points]
        left.plot(targets, [point["realised"] for point in points], "o-", label=f"{name}: all devices")
        left.plot(targets, [point["p90_device"] for point in points], "o:", label=f"{name}: 90th percentile")
        right.plot([point["realised"] for point in points], [point["recall"] for point in points], "o-", label=name)
    left.plot([0.2, 1.0], [0.2, 1.0], color="grey", linewidth=0.8, label="realised = target")
    left.set(xlabel="target: false alerts per device-week", ylabel="realised", title="Budget and what it came to")
    right.set(xlabel="realised false alerts per device-week", ylabel="windows found", title="What is still found")
    right.set_ylim(0.0, 1.0)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path)
    plt.close(figure)
