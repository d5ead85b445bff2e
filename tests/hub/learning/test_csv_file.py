"""A file that people have is read as they mean it, or refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vedette_hub.learning.errors import TrainingRefusedError
from vedette_hub.learning.sources import csv_file


def write(folder: Path, text: str) -> Path:
    path = folder / "history.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_found_by_their_names_and_what_they_hold(tmp_path: Path) -> None:
    text = "\ufeffTimestamp;Device;site;temp;flow\n2024-01-01T00:00:00Z;a;north;1.5;\n1704067260000;b;north;-2;NaN\n"
    found = csv_file.read(write(tmp_path, text), "pump")
    assert found.channels == ("temp", "flow")
    assert [
        (one.device, one.times.tolist(), np.where(np.isnan(one.values), None, one.values).tolist())
        for one in found.series
    ] == [
        ("a", [1704067200.0], [[1.5, None]]),
        ("b", [1704067260.0], [[-2.0, None]]),
    ]


def test_columns_are_taken_as_named(tmp_path: Path) -> None:
    text = "when,unit,a,b\n1,x,10,20\n2,x,11,\n"
    found = csv_file.read(write(tmp_path, text), "pump", ["b", "A"], time_column="when", device_column="unit")
    assert found.channels == ("b", "A")
    np.testing.assert_array_equal(found.series[0].values, [[20, 10], [np.nan, 11]])
    assert found.series[0].device == "x"


def test_lines_that_cannot_be_read_are_counted_with_the_first_fault(tmp_path: Path) -> None:
    found = csv_file.read(write(tmp_path, "time,x\n1,1\nsoon,2\n3,much\n4\n\n5,5\n"), "pump")
    assert found.series[0].times.tolist() == [1.0, 5.0]
    (note,) = found.notes
    assert (note.what, note.count) == ("readings", 3)
    assert "line 3" in note.reason


def test_a_column_that_is_taken_for_no_channel_is_named_unless_channels_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "time,x,site,y\n\n1,1,north\n2,2,north,3\n")
    found = csv_file.read(path, "pump")
    assert found.channels == ("x",)
    assert {(note.what, note.name): note.reason for note in found.notes} == {
        ("column", "site"): "holds no number in the first line, but 'north': taken for no channel",
        ("column", "y"): "holds no number in the first line, but nothing: taken for no channel",
    }
    assert csv_file.read(path, "pump", ["x"]).notes == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty; a header with a time column"),
        ("a,b\n1,2\n", "no time column time or timestamp"),
        ("time,b\n1,word\n", "no column holds numbers; the header has: time, b"),
        ("time,b\n", "there is only a header, and not one reading below it"),
        ("time,b\n\n\n", "there is only a header"),
        ("time,b\nx,1\ny,2\n", "not one of 2 lines can be used; line 2"),
    ],
)
def test_a_file_without_readings_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(TrainingRefusedError, match=problem):
        csv_file.read(write(tmp_path, text), "pump")


def test_what_is_asked_for_and_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "time,b\n1,2\n")
    with pytest.raises(TrainingRefusedError, match="no column 'c'; the header has: time, b"):
        csv_file.read(path, "pump", ["c"])
    with pytest.raises(TrainingRefusedError, match="no time column 'when'"):
        csv_file.read(path, "pump", time_column="when")
    with pytest.raises(TrainingRefusedError, match="No such file"):
        csv_file.read(tmp_path / "none.csv", "pump")
    (tmp_path / "binary.csv").write_bytes(b"time,x\n\xff\xfe\n")
    with pytest.raises(TrainingRefusedError, match="no CSV file in UTF-8"):
        csv_file.read(tmp_path / "binary.csv", "pump")


def test_a_long_file_is_read_up_to_the_bound_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MAX_VALUES", 10)
    found = csv_file.read(write(tmp_path, "time,x\n" + "".join(f"{i},{i}\n" for i in range(50))), "pump")
    assert len(found.series[0]) == 10
    assert "the rest is left out" in found.notes[0].reason


def test_a_label_column_says_what_is_anomalous_and_is_no_channel(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("time,pressure,Anomaly\n1,5,0\n2,6,1.0\n3,7,\n4,8,true\n5,9,normal\n6,9,perhaps\n")
    found = csv_file.read(path, "pump")
    assert found.channels == ("pressure",)
    assert found.anomalous is not None
    assert found.anomalous[0].tolist() == [False, True, False, True, False]
    assert "line 7" in found.notes[0].reason


def test_a_label_column_is_what_it_is_asked_for_as(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("time,pressure,label,broken\n1,5,3,0\n2,6,4,1\n")
    found = csv_file.read(path, "pump", ["pressure", "label"], label_column="broken")
    assert (found.channels, found.anomalous[0].tolist()) == (("pressure", "label"), [False, True])  # type: ignore[index]
    assert csv_file.read(path, "pump", ["label"]).anomalous is None
