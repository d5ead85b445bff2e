"""Training from the command line: progress on standard error, the result on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.hub.learning.alerts import raise_alert
from tests.hub.learning.readings import deliver, samples, series
from vedette_hub.cli import main
from vedette_hub.config import load
from vedette_hub.hub import open_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "hub.toml"
    path.write_text('[hub]\nstate_dir = "state"\n[learning]\ntrees = 20\n')
    return path


def invoke(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--config", str(path)])


def test_synthetic_data_trains_a_version_and_tells_precision_and_recall(path: Path) -> None:
    result = invoke(path, "train", "--profile", "demo", "--synthetic", "--n-samples", "2000", "--n-features", "2")
    assert result.exit_code == 0, result.stderr
    assert "demo version 1 (isolation_forest)" in result.stdout
    assert "precision" in result.stdout
    assert "backtest: " in result.stdout
    assert "known anomalies found" in result.stdout
    assert "proving that it scores like scikit-learn" in result.stderr
    (listed,) = json.loads(invoke(path, "models", "--json").stdout)
    assert (listed["profile"], listed["version"], listed["stage"]) == ("demo", 1, "candidate")
    assert {"precision", "recall", "f1"} <= set(listed["report"]["detection"])
    assert "demo\t1\tcandidate\tisolation_forest" in invoke(path, "models").stdout


def test_a_file_trains_a_version_of_the_channels_that_are_named(path: Path, tmp_path: Path) -> None:
    one = series(1, 500)
    table = np.column_stack([one.times, one.values, np.arange(500)])
    lines = [",".join(f"{value:.6f}" for value in line) for line in table]
    (tmp_path / "history.csv").write_text("\n".join(["time,pressure,flow,count", *lines]))
    command = ["train", "--profile", "pump", "--csv", str(tmp_path / "history.csv"), "--json"]
    version = json.loads(invoke(path, *command, "--channels", "flow,pressure").stdout)
    assert version["report"]["channels"] == ["flow", "pressure"]
    assert version["lineage"]["source"].endswith("history.csv")
    result = invoke(path, *command, "--channels", "flow,heat")
    assert result.exit_code == 1
    assert "no column 'heat'; the header has: time, pressure, flow, count" in result.stderr


def test_readings_of_a_file_in_alerts_that_were_labelled_true_are_judged_only(path: Path, tmp_path: Path) -> None:
    one = series(1, 500)
    table = np.column_stack([one.times, one.values])
    lines = [",".join([*(f"{value:.6f}" for value in line), "pump-1"]) for line in table]
    (tmp_path / "history.csv").write_text("\n".join(["time,pressure,flow,device", *lines]))
    engine = open_database(load(path, {}))
    times = {"opened": float(one.times[100]), "cleared": float(one.times[119]), "state": "cleared"}
    raise_alert(engine, label="true", **times)
    engine.dispose()
    command = ["train", "--profile", "pump", "--csv", str(tmp_path / "history.csv"), "--json"]
    version = json.loads(invoke(path, *command).stdout)
    notes = {note["reason"]: note["count"] for note in version["report"]["dropped"]}
    assert notes["known to be anomalous: judged, not trained with"] == 20


def test_samples_in_the_store_train_the_next_version(path: Path) -> None:
    missing = invoke(path, "train", "--profile", "pump")
    assert (missing.exit_code, "no samples have come yet" in missing.stderr) == (1, True)
    engine = open_database(load(path, {}))
    deliver(engine, samples(1), samples(2))
    engine.dispose()
    assert "600 readings wait to be learnt from" in invoke(path, "models").stderr
    first = json.loads(invoke(path, "train", "--profile", "pump", "--json").stdout)
    second = json.loads(invoke(path, "train", "--profile", "pump", "--json").stdout)
    assert [first["version"], second["version"]] == [1, 2]
    third = invoke(path, "train", "--profile", "pump").stdout
    assert "backtest of version 2: " in third
    assert "drift since version 2: none" in third
    assert second["lineage"]["parent"] == first["sha256"]
    assert second["lineage"]["dataset"] == first["lineage"]["dataset"]


def test_wrong_options_are_refused(path: Path) -> None:
    assert invoke(path, "train", "--profile", "p", "--synthetic", "--csv", "x.csv").exit_code == 2
    assert invoke(path, "train", "--profile", "p", "--contamination", "0.9").exit_code == 2
    unknown = invoke(path, "train", "--profile", "p", "--algorithm", "magic")
    assert (unknown.exit_code, "isolation_forest" in unknown.stderr) == (2, True)
    few = invoke(path, "train", "--profile", "p", "--synthetic", "--n-samples", "100")
    assert (few.exit_code, "at least 160 samples" in few.stderr) == (1, True)
