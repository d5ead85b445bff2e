from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import alert_budget, nab_corpus, nab_watch, normal_series
from benchmarks.recorded import examine, record, replay
from tests.benchmarks.nab_folder import write_folder
from vedette_models.calibration import STRENGTHS
from vedette_models.profile import Decisions


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> nab_corpus.Corpus:
    return nab_corpus.load(write_folder(tmp_path_factory.mktemp("nab")))


@pytest.mark.slow
def test_recorded_scores_raise_the_alerts_of_the_detectors_themselves(corpus: nab_corpus.Corpus) -> None:
    recorded = record([s.time for s in corpus.series], [s.values for s in corpus.series])
    for series, said in zip(corpus.series, recorded, strict=True):
        itself = nab_watch.watch(series).raised
        assert np.array_equal(replay(examine(series.time, series.values), said, nab_watch.PROFILE.decisions), itself)
    assert any(nab_watch.watch(series).raised.any() for series in corpus.series)


def test_a_smaller_budget_raises_no_more(corpus: nab_corpus.Corpus) -> None:
    series = corpus.series[1]
    (said,) = record([series.time], [series.values])
    examined = examine(series.time, series.values)
    raised = [replay(examined, said, Decisions(alerts_per_week=k)).sum() for k in (5.0, 0.5, 0.01)]
    assert raised == sorted(raised, reverse=True)
    assert raised[0] > 0


def test_false_alerts_and_windows_are_told_apart(corpus: nab_corpus.Corpus) -> None:
    raised = [np.zeros(len(series.time), np.bool_) for series in corpus.series]
    plant = next(i for i, series in enumerate(corpus.series) if series.name == "plant/flow.csv")
    raised[plant][[100, 510, 520, 700]] = True  # in probation, twice in the first window, outside
    figures = alert_budget.judge(corpus, raised, 0.5)
    weeks = [alert_budget.normal_weeks(series) for series in corpus.series]
    assert figures["target"] == 0.5
    assert figures["realised"] == pytest.approx(1.0 / sum(weeks))
    assert figures["recall"] == 0.25
    assert figures["mean_device"] == pytest.approx(0.25 / weeks[plant])
    assert weeks[plant] == pytest.approx((1020 - 41 - 81) * 300.0 / 604_800.0)


@pytest.mark.slow
def test_the_command_prints_the_figures_of_each_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(normal_series, "READINGS", 400)
    monkeypatch.setattr(alert_budget, "KINDS", ("noise",))
    monkeypatch.setattr(alert_budget, "generate", lambda kind: normal_series.generate(kind, 2, 400))
    monkeypatch.setattr("vedette_models.calibration.FEW", 1)
    folder, picture = write_folder(tmp_path / "nab"), tmp_path / "budget.svg"
    monkeypatch.setattr(sys, "argv", ["alert_budget", str(folder), "--json", "--plot", str(picture)])
    alert_budget.main()
    printed = json.loads(capsys.readouterr().out)
    for source in (printed, printed["built_in"]):
        for target in (1.0, 0.5, 0.2):
            figures = source[f"{target:g}"]
            assert figures.keys() >= {"target", "realised", "recall", "p90_device"}
            assert figures["target"] == target
            assert 0.0 <= figures["recall"] <= 1.0
    assert printed["prior"]["rangebreak"]["noise"]["episodes_per_week"].keys() == {f"{s:.3g}" for s in STRENGTHS[::4]}
    assert picture.stat().st_size > 1_000


def test_a_folder_that_is_not_the_benchmarks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["alert_budget", str(tmp_path)])
    with pytest.raises(SystemExit, match="give the folder"):
        alert_budget.main()


@pytest.mark.parametrize("kind", normal_series.KINDS)
def test_nothing_happens_in_generated_series(kind: str) -> None:
    times, values = normal_series.generate(kind, 2, 2_000)
    assert len(times) == len(values) == 2
    assert all(np.isfinite(v).all() and v.std() > 0.0 for v in values)
    assert np.array_equal(values[0], normal_series.generate(kind, 2, 2_000)[1][0])
