"""The SKAB benchmark on small generated runs: what is read, chosen, counted and printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import skab
from benchmarks.skab_data import Run, SkabError, read_runs

CHANNELS = ("vibration", "flow", "current")


def write(folder: Path, number: int, fault: bool = True) -> None:
    """A run of 620 readings of which 480 to 579 are anomalous."""
    draw = np.random.default_rng(number)
    load = draw.normal(size=(620, 1))
    values = 10.0 + load * [1.0, 2.0, 3.0] + draw.normal(0.0, 0.3, (620, 3))
    label = np.zeros(620)
    if fault:
        label[480:580] = 1.0
        values[480:580, 1] += 5.0
    lines = [f"datetime;{';'.join(CHANNELS)};anomaly;changepoint"]
    for i, row in enumerate(values):
        said = ";".join(f"{value:.6g}" for value in row)
        lines.append(f"2020-03-09 10:{14 + i // 60:02d}:{i % 60:02d};{said};{label[i]};0.0")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number}.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("skab")
    for number in (0, 2, 10):
        write(folder / "valve1", number)
    return folder


def test_runs_are_read_in_the_order_of_their_numbers_from_a_folder_or_the_one_above(folder: Path) -> None:
    runs = read_runs(folder)
    assert [run.name for run in runs] == ["valve1/0.csv", "valve1/2.csv", "valve1/10.csv"]
    assert [run.name for run in read_runs(folder / "valve1")] == ["0.csv", "2.csv", "10.csv"]
    assert runs[0].channels == CHANNELS
    assert runs[0].values.shape == (620, 3)
    assert np.flatnonzero(runs[0].anomalous)[[0, -1]].tolist() == [480, 579]
    assert np.diff(runs[0].time).tolist() == [1.0] * 619


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(SkabError, match="no folder"):
        read_runs(tmp_path / "nowhere")
    with pytest.raises(SkabError, match="no csv file"):
        read_runs(tmp_path)
    write(tmp_path, 1)
    (tmp_path / "free.csv").write_text("datetime;vibration\n2020-03-09 10:14:33;1.0\n")
    assert len(read_runs(tmp_path)) == 1
    (tmp_path / "2.csv").write_text("datetime;vibration;anomaly\n2020-03-09 10:14:33;much;0.0\n")
    with pytest.raises(SkabError, match=r"2\.csv"):
        read_runs(tmp_path)


def test_the_faults_are_found_and_little_else(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["skab", str(folder), "--json"])
    skab.main()
    found = json.loads(capsys.readouterr().out)
    assert found["events"] == found["events_found"] == 3
    assert found["f1"] > 0.8
    assert found["far"] < 20.0
    assert found["median_delay_s"] < 20.0
    assert {"mar", "false_events", "by_run", "without_hub"} <= found.keys()


def test_the_factor_is_the_best_of_all_other_runs() -> None:
    times, labels = np.arange(600.0), np.arange(600) >= 500
    runs = [Run(str(i), times, np.zeros((600, 1)), labels, ("x",)) for i in range(3)]
    # The first run would be best with a low factor, the others with a high one.
    low, high = np.where(labels, 0.5, 0.1), np.where(labels, 5.0, 2.0)
    counts = skab.count(runs, [low, high, high])
    assert 2.0 < skab.FACTORS[skab.chosen(counts, 0)] <= 5.0
    assert 0.1 < skab.FACTORS[skab.chosen(skab.count(runs, [high, low, low]), 0)] <= 0.5


def test_stretches_end_where_flags_are_far_apart() -> None:
    flags = np.zeros(300, bool)
    flags[[3, 4, 60, 200, 299]] = True
    assert skab.stretches(flags, np.arange(300.0), 60.0) == [(3, 60), (200, 200), (299, 299)]
    assert skab.stretches(np.zeros(3, bool), np.arange(3.0), 60.0) == []


def test_rates_are_over_the_judged_readings_only() -> None:
    times, labels = np.arange(600.0), np.arange(600) >= 500
    scores = np.where(labels, 1.0, 0.0)
    scores[:400] = 9.0  # training is not judged
    scores[590:] = 0.0
    found = skab.judged([Run("one", times, np.zeros((600, 1)), labels, ("x",))], [scores])
    assert (found["far"], found["mar"], found["events_found"], found["false_events"]) == (0.0, 10.0, 1, 0)
    assert found["f1"] == pytest.approx(2 * 90 / 190, abs=1e-4)
