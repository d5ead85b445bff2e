"""Pictures of the benchmark: what each threshold comes to, and what each category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from benchmarks import nab_corpus, nab_scoring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.nab_corpus import Corpus
    from benchmarks.nab_watch import WatchedSeries

COLOURS = {nab_corpus.STANDARD: "#1f5fa8", nab_corpus.LOW_FP: "#b4562b", nab_corpus.LOW_FN: "#2f7d4f"}
NAMES = {nab_corpus.STANDARD: "standard", nab_corpus.LOW_FP: "reward low FP", nab_corpus.LOW_FN: "reward low FN"}
LEAST, MOST = 0.1, 20.0
"""Of the thresholds shown, as a multiple of the default."""


def draw(path: Path, corpus: Corpus, watched: Sequence[WatchedSeries], figures: Mapping[str, Any]) -> None:
    """Draw to a file; its ending says in which format."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "nab"  # the same picture for the same figures
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.2), layout="constrained")
    _thresholds(left, corpus, watched, figures)
    _categories(right, corpus, watched, figures)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _thresholds(axes: Axes, corpus: Corpus, watched: Sequence[WatchedSeries], figures: Mapping[str, Any]) -> None:
    worth = nab_scoring.worth(corpus.series)
    scores = nab_scoring.counted([seen.strength for seen in watched])
    own = nab_scoring.counted([seen.raised for seen in watched])
    for profile, colour in COLOURS.items():
        weights = corpus.profiles[profile]
        thresholds, sums = worth.sweep(scores, weights)
        shown = (thresholds >= LEAST) & (thresholds <= MOST)
        normalised = np.array([worth.normalised(float(total), weights) for total in sums[shown]])
        axes.plot(thresholds[shown], normalised, color=colour, label=NAMES[profile])
        decided = worth.normalised(worth.score(own, weights), weights)
        axes.axhline(decided, color=colour, linestyle=":", linewidth=1.0)
    axes.axvline(figures["threshold_strength"], color="0.6", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("threshold, as a multiple of the default")
    axes.set_ylabel("NAB score")
    axes.set_title("one threshold for all series; dotted: the product's own alerts", fontsize=10)
    axes.legend(frameon=False)


def _categories(axes: Axes, corpus: Corpus, watched: Sequence[WatchedSeries], figures: Mapping[str, Any]) -> None:
    weights = corpus.profiles[nab_corpus.STANDARD]
    names, common, own = [], [], []
    for category in corpus.categories:
        chosen = [i for i, series in enumerate(corpus.series) if series.category == category]
        worth = nab_scoring.worth([corpus.series[i] for i in chosen])
        if worth.windows == 0:
            continue
        scores = nab_scoring.counted([watched[i].strength for i in chosen])
        raised = nab_scoring.counted([watched[i].raised for i in chosen])
        names.append(f"{category}\n({worth.windows})")
        common.append(worth.normalised(worth.score(scores >= figures["threshold_strength"], weights), weights))
        own.append(worth.normalised(worth.score(raised, weights), weights))
    places = np.arange(len(names))
    axes.barh(places - 0.2, common, 0.38, color="#1f5fa8", label="threshold of the whole corpus")
    axes.barh(places + 0.2, own, 0.38, color="#9bb8d8", label="own alerts")
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("NAB score, standard (windows in brackets)")
    axes.set_title("by category", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
