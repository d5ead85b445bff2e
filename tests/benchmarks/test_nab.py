"""The benchmark on a small generated corpus: what is read, watched, written and printed."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks import nab, nab_corpus, nab_scoring, nab_watch
from tests.benchmarks.nab_folder import SERIES, when, write_folder

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.nab_corpus import Corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("nab"))


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return nab_corpus.load(folder)


@pytest.fixture(scope="module")
def results(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("out")
    return out, nab.run(corpus, 1, out, out / "nab.svg")


def test_the_folder_is_read_as_it_stands(corpus: Corpus) -> None:
    assert [series.name for series in corpus.series] == sorted(SERIES)
    assert corpus.categories == ("office", "plant", "quiet")
    assert {series.name: list(series.windows) for series in corpus.series} == SERIES
    assert corpus.series[0].written[3][0] == when(3)
    assert corpus.profiles[nab_corpus.LOW_FN].false_negative == 2.0


def test_it_finds_what_was_put_there(results: tuple[Path, dict[str, object]]) -> None:
    _, figures = results

    assert figures["windows"] == figures["windows_found"] == 4
    assert figures["leave_one_category_out"] <= figures["standard"]  # type: ignore[operator]  # they are numbers
    for key in ("standard", "reward_low_fp", "reward_low_fn", "own_decisions"):
        assert 60.0 < figures[key] <= 100.0  # type: ignore[operator]
    assert 0.0 < figures["threshold"] < 1.0  # type: ignore[operator]
    assert figures["us_per_value"] > 0.0  # type: ignore[operator]
    json.dumps(figures)


def test_result_files_have_the_benchmarks_own_layout(corpus: Corpus, results: tuple[Path, dict[str, object]]) -> None:
    out, figures = results
    scores = []
    for series in corpus.series:
        with (out / f"vedette/{series.category}/vedette_{series.file}").open() as file:
            header, *rows = csv.reader(file)
        assert header == ["timestamp", "value", "anomaly_score", "label"]
        assert [(row[0], row[1]) for row in rows] == list(series.written)
        assert [row[3] == "1" for row in rows] == series.labels.tolist()
        scores.append(np.array([float(row[2]) for row in rows]))
        assert (scores[-1] >= 0.0).all()
        assert (scores[-1] < 1.0).all()
    worth, weights = nab_scoring.worth(corpus.series), corpus.profiles[nab_corpus.STANDARD]
    threshold, total = worth.best(nab_scoring.counted(scores), weights)
    assert threshold == figures["threshold"]
    assert worth.normalised(total, weights) == pytest.approx(figures["standard"])


def test_the_picture_is_drawn(results: tuple[Path, dict[str, object]]) -> None:
    assert "</svg>" in (results[0] / "nab.svg").read_text()


def test_scores_never_look_ahead(corpus: Corpus) -> None:
    series = corpus.series[1]
    rows = 700
    shorter = series._replace(
        time=series.time[:rows], values=series.values[:rows], written=series.written[:rows], windows=()
    )

    assert np.array_equal(nab_watch.watch(shorter).strength, nab_watch.watch(series).strength[:rows])


def test_the_score_in_the_files_rises_with_the_strength_and_stays_below_1() -> None:
    strength = np.array([0.0, 1e-320, 1e-9, 0.5, 1.0, 1.5, 1e3, 1e9, 1e300])

    scores = nab.anomaly_score(strength)

    assert scores[0] == 0.0
    assert scores[4] == 0.5
    assert (np.diff(scores) >= 0.0).all()
    assert (scores < 1.0).all()


def test_a_category_left_out_is_judged_at_the_others_threshold() -> None:
    rows = 1_000

    def series(category: str) -> nab_corpus.Series:
        return nab_corpus.Series(
            category, "a.csv", (), np.arange(0.0, 300.0 * rows, 300.0), np.zeros(rows), ((400, 499),)
        )

    profiles = {nab_corpus.STANDARD: nab_corpus.Weights(1.0, 1.0, 0.11)}
    corpus = nab_corpus.Corpus((series("a"), series("b")), profiles, ())
    loud, faint = np.zeros(rows), np.zeros(rows)
    loud[[400, 300]] = 0.9, 0.5  # best at 0.9; at the other's 0.3 one false alarm more
    faint[400] = 0.3  # missed at the other's 0.9

    assert nab.leave_one_category_out(corpus, [loud, faint], nab_corpus.STANDARD) == pytest.approx(
        100.0 * ((1.0 - 0.11 - 1.0) + 2.0) / 4.0
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "data").rename(f / "dat"), "no folder data/"),
        (lambda f: (f / "labels/combined_windows.json").unlink(), "combined_windows.json: No such file"),
        (lambda f: (f / "labels/combined_windows.json").write_text("{"), "not JSON"),
        (lambda f: (f / "labels/combined_windows.json").write_text("{}"), 'nothing about "office/door.csv"'),
        (lambda f: (f / "config/profiles.json").write_text('{"standard": {}}'), 'profile "standard" needs'),
        (lambda f: (f / "data/office/door.csv").write_text("a,b\n1,2\n"), "the header must begin with timestamp,value"),
        (lambda f: (f / "data/office/door.csv").write_text("timestamp,value\n"), "at least one line"),
        (
            lambda f: (f / "data/office/door.csv").write_text(f"timestamp,value\n{when(0)},nan\n"),
            "no timestamp with a finite value",
        ),
        (
            lambda f: (f / "data/office/door.csv").write_text(f"timestamp,value\n{when(0)},1\n"),
            "no row has the timestamp",
        ),
    ],
)
def test_another_folder_gets_a_clear_error(tmp_path: Path, spoil: object, said: str) -> None:
    write_folder(tmp_path)
    spoil(tmp_path)  # type: ignore[operator]  # a function of the folder

    with pytest.raises(nab_corpus.CorpusError, match=said):
        nab_corpus.load(tmp_path)


def test_labelled_series_that_are_not_there_are_told(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "data/office/door.csv").unlink()

    assert nab_corpus.load(tmp_path).missing == ("office/door.csv",)
