from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from tests.agent.streams import PROFILE, stream
from vedette_agent.cli import main
from vedette_agent.config import Config, load
from vedette_agent.reading.profile_watch import ProfileWatch, Watched
from vedette_agent.replay import Replay
from vedette_models.messages import Alert
from vedette_models.readings import ReadingBatch

CONFIG = """
[gateway]
id = "gw"
[devices]
url = "mqtt://127.0.0.1:1"
[limits]
max_devices = 3
[[streams]]
topic = "plant/{device}/telemetry"
profile = "pump"
[streams.channels]
vibration = "sensors.vib"
[profiles.pump.channels.vibration]
unit = "mm/s"
low = -50
high = 50
[profiles.pump.channels.pressure]
unit = "hPa"
low = 0
[profiles.pump.decisions]
cooldown = 600
clear_after = 3
burst = 2
per_day = 20
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def loaded(config: Path) -> Config:
    return load(config, {})


def csv_of(batch: ReadingBatch) -> str:
    lines = ["time,device,vibration,pressure"]
    for device, time, values in zip(batch.device, batch.time, batch.values, strict=True):
        cells = ["" if np.isnan(v) else repr(float(v)) for v in values]
        lines.append(f"{float(time)!r},device-{device},{','.join(cells)}")
    return "\n".join(lines) + "\n"


def run(config: Path, text: str | bytes, *options: str, name: str = "input.csv") -> tuple[Result, dict[str, Any]]:
    path = config.parent / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    result = CliRunner().invoke(main, ["replay", "--config", str(config), *options, str(path)])
    last = result.stdout.strip().split("\n")[-1] if result.stdout.strip() else "{}"
    return result, json.loads(last) if last.startswith("{") else {}


def test_replay_gives_the_scores_and_alerts_of_the_live_stages(loaded: Config) -> None:
    batch = stream(0, 900)
    watch = ProfileWatch(PROFILE, "gw", "replay", 3)
    rows = [watch.table.row(f"device-{d}") for d in batch.device]
    live = ReadingBatch.of([r for r in rows if r is not None], batch.time, batch.values)
    events, scores = [], []
    for start in range(0, 900, 37):
        watched = watch.process(live.take(slice(start, start + 37)))
        events += watched.decided.events
        said = watched.verdicts
        scores.append(np.maximum(said.anomaly, said.faults.readings_withheld(len(said.batch))))
    replay = Replay(loaded, io.StringIO(csv_of(batch)))
    replayed, seen = [], []
    said = None
    for reading in replay.run():
        replayed.append(reading)
        if replay.events is not said:
            said = replay.events
            seen += said
    np.testing.assert_allclose([r.score for r in replayed], np.concatenate(scores), rtol=0, atol=1e-9)
    assert [(e.id, e.revision, e.state, e.severity, e.time, e.reason) for e in seen] == [
        (e.id, e.revision, e.state, e.severity, e.time, e.reason) for e in events
    ]
    assert sum(r.raised for r in replayed) == replay.summary.severities.total() == sum(e.revision == 1 for e in events)


def test_the_output_has_a_line_per_reading_and_the_summary_last(config: Path) -> None:
    batch = stream(0, 600)
    result, summary = run(config, csv_of(batch))
    assert result.exit_code == 0
    lines = result.stdout.strip().split("\n")
    assert lines[0] == "time,device,score,alert"
    assert len(lines) == 602
    assert (summary["readings"], summary["skipped"], summary["devices"], summary["profile"]) == (600, 0, 3, "pump")
    assert sum(line.endswith(",1") for line in lines) == summary["alerts"] == sum(summary["severities"].values()) > 0
    weeks = 3 * (summary["to"] - summary["from"]) / 604_800
    assert summary["alerts_per_device_week"] == pytest.approx(summary["alerts"] / weeks, abs=1e-3)
    assert len([line for line in result.stderr.split("\n") if "device-" in line]) == summary["alerts"]
    assert summary["budget"]["target"] == 0.5
    assert 0.0 < summary["budget"]["device_weeks"] <= weeks, "gaps are not watched"
    assert "\nalert budget: " in result.stderr


def test_out_takes_the_scores_and_stdout_keeps_the_summary(config: Path, tmp_path: Path) -> None:
    result, summary = run(config, csv_of(stream(0, 50)), "--out", str(tmp_path / "scores.csv"))
    assert result.stdout.count("\n") == 1
    assert summary["readings"] == 50
    assert (tmp_path / "scores.csv").read_text().count("\n") == 51


def test_the_input_is_never_overwritten(config: Path, tmp_path: Path) -> None:
    text = csv_of(stream(0, 5))
    result, _ = run(config, text, "--out", str(tmp_path / "input.csv"))
    assert result.exit_code == 1
    assert "--out is the input itself" in result.stderr
    assert (tmp_path / "input.csv").read_text() == text


T0 = "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        f"time,vibration,pressure\n{T0},1.5,1000\n",
        f"Timestamp;Vibration;PRESSURE\n{T0};1,5;1000\n",
        "ts\tpressure\tvibration\n1704067200\t1000\t1.5\n",
        "date|vibration|pressure\n1704067200000|1.5|1000\n",
        f"\ufefftime,vibration,pressure\n{T0},1.5,1000\n",
        ' time , vibration ,"pressure"\r\n"2024-01-01 00:00:00", 1.5 ,"1000"\r\n',
        f"note,datetime,vibration,pressure\nhello,{T0},1.5,1000\n\n\n",
        f"time,sensors.vib,pressure\n{T0},1.5,1000\n",
    ],
)
def test_files_of_many_kinds_say_the_same(loaded: Config, text: str) -> None:
    replay = Replay(loaded, io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8-sig", newline=""))
    watched: list[ReadingBatch] = []
    process = replay._watch.process

    def look(batch: ReadingBatch, heard: NDArray[np.float64] | None = None) -> Watched:
        watched.append(batch)
        return process(batch, heard)

    replay._watch.process = look  # type: ignore[method-assign]  # a look in between
    assert [reading.device for reading in replay.run()] == ["device"]
    assert watched[0].values.tolist() == [[1.5, 1000.0]]
    assert watched[0].time.tolist() == [datetime(2024, 1, 1, tzinfo=UTC).timestamp()]


def test_columns_can_be_named(config: Path) -> None:
    text = "when,machine,vibration,pressure\n2024-01-01,A,1,1000\n2024-01-02,,1,1000\n"
    result, summary = run(config, text, "--time-column", "when", "--device-column", "machine", "--device", "B")
    assert result.exit_code == 0, result.stderr
    assert summary["devices"] == 2
    assert [line.split(",")[1] for line in result.stdout.split("\n")[1:3]] == ["A", "B"]
    assert run(config, text)[0].exit_code == 1
    for option, name in (("--time-column", "nope"), ("--device-column", "nope")):
        result, _ = run(config, text, "--time-column", "when", option, name)
        assert (result.exit_code, "no column 'nope'; the header has: when, machine" in result.stderr) == (1, True)


def test_bad_lines_are_counted_with_their_numbers(config: Path) -> None:
    text = (
        f"time,device,vibration,pressure\n{T0},a,1,1000\nyesterday,a,1,1000\n\n{T0},a,one,1000\n{T0},a,inf,1000\n"
        f'{T0},"quoted\nname",1,1000\n{T0},c,1,1000\n{T0},d,1,1000\n{T0}\n,a,1,1\n'
    )
    result, summary = run(config, text)
    assert result.exit_code == 0
    assert (summary["readings"], summary["skipped"], summary["bad_cells"], summary["devices"]) == (5, 4, 2, 3)
    said = result.stderr
    assert "skipped line 3: time 'yesterday' is neither ISO 8601 nor seconds since 1970" in said
    assert "skipped line 5, column \"vibration\": 'one' is no number; the other values count" in said
    assert "skipped line 6, column \"vibration\": 'inf' is not finite" in said
    assert "skipped line 10: device 'd': more than limits.max_devices = 3" in said


def test_lines_that_are_not_utf_8_cost_only_themselves(config: Path) -> None:
    text = f"time,device,vibration,pressure\n{T0},a,1,1000\n".encode() + b"2024-01-02,a,\xb0,1\n2024-01-03,a,1,1000\n"
    result, summary = run(config, text)
    assert (result.exit_code, summary["readings"], summary["bad_cells"]) == (0, 3, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("time,speed,load\n", "no column is a channel; the header has: time, speed, load; the profiles have: pump: "),
        ("vibration,pressure\n1,2\n", "no time column (time, timestamp, ts, datetime, date)"),
    ],
)
def test_a_file_that_cannot_be_replayed_says_what_is_needed(config: Path, text: str, said: str) -> None:
    result, _ = run(config, text)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there(config: Path) -> None:
    result = CliRunner().invoke(main, ["replay", "--config", str(config), "nowhere.csv"])
    assert (result.exit_code, "No such file" in result.stderr) == (1, True)


def test_a_file_without_a_usable_line_is_exit_code_1_with_a_summary(config: Path) -> None:
    result, summary = run(config, "time,vibration,pressure\nnever,1,2\n")
    assert (result.exit_code, summary["readings"], summary["skipped"]) == (1, 0, 1)


def test_missing_channels_are_noted_and_not_scored(config: Path) -> None:
    result, summary = run(config, f"time,pressure\n{T0},1000\n2024-01-02,NaN\n2024-01-03,NULL\n")
    assert "note: not in the file: vibration" in result.stderr
    assert (result.exit_code, summary["readings"]) == (0, 3)


def test_a_file_of_one_value_column_needs_no_matching_name(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    start = CONFIG.index("[streams.channels]")
    config.write_text(CONFIG[:start] + '[profiles.pump]\nchannels = ["temperature"]\n')
    result, summary = run(config, f"timestamp,value\n{T0},20\n")
    assert 'note: column "value" is taken for channel "temperature"' in result.stderr
    assert (result.exit_code, summary["readings"]) == (0, 1)


def test_an_unknown_profile_is_said(config: Path) -> None:
    result, _ = run(config, "time,pressure\n", "--profile", "fan")
    assert "no profile 'fan'" in result.stderr
    assert "there are: pump" in result.stderr


class Endless:
    """A file of so many lines that is nowhere as a whole."""

    def __init__(self, lines: int) -> None:
        self._lines, self._at = lines, 0

    def readline(self) -> str:
        self._at += 1
        if self._at == 1:
            return "time,vibration,pressure\n"
        return f"{1.7e9 + 60 * self._at},1.{self._at % 7},1013.{self._at % 5}\n" if self._at <= self._lines else ""

    def seek(self, _position: int) -> None:
        self._at = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")

    def __next__(self) -> str:
        line = self.readline()
        if not line:
            raise StopIteration
        return line


@pytest.mark.slow
def test_a_big_file_takes_no_more_memory_than_a_small_one(loaded: Config) -> None:
    peaks = []
    for lines in (550, 1_400):
        replay = Replay(loaded, Endless(lines))  # type: ignore[arg-type]  # as much of a file as is needed
        tracemalloc.start(1)
        assert sum(1 for _ in replay.run()) == lines - 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_a_device_that_has_stopped_is_told_while_the_others_go_on(loaded: Config) -> None:
    minutes = [(i, device) for i in range(300) for device in ("A", "B") if device == "A" or not 200 <= i < 260]
    random = np.random.default_rng(1)
    lines = [
        f"{1.7e9 + 600 * i:.0f},{device},{random.normal():.4f},{1000 + random.normal():.4f}" for i, device in minutes
    ]
    replay = Replay(loaded, io.StringIO("\n".join(["time,device,vibration,pressure", *lines])))
    events: list[Alert] = []
    for _ in replay.run():
        events += [event for event in replay.events if event not in events]

    silent = [event for event in events if event.kind == "silent"]
    assert [(event.device, event.state) for event in silent] == [("B", "active"), ("B", "cleared")]
    assert 1.7e9 + 600 * 200 <= silent[0].opened <= 1.7e9 + 600 * 206


def lone(gap: range, count: int = 300, step: float = 600.0, seed: int = 1) -> str:
    """A file of one device that does not report in `gap`."""
    random = np.random.default_rng(seed)
    lines = [f"{1.7e9 + step * i:.0f},{random.normal():.4f},{1000 + random.normal():.4f}" for i in range(count)]
    return "\n".join(["time,vibration,pressure", *(line for i, line in enumerate(lines) if i not in gap)]) + "\n"


def told(loaded: Config, text: str, kind: str, **options: Any) -> list[Alert]:
    replay = Replay(loaded, io.StringIO(text), **options)
    events: list[Alert] = []
    for _ in replay.run():
        events += [event for event in replay.events if event not in events]
    return [event for event in events if event.kind == kind]


def test_a_gap_of_a_lone_device_is_told_as_of_its_beginning_with_its_length_and_is_over(loaded: Config) -> None:
    active, ended = told(loaded, lone(range(200, 260)), "silent")
    last = 1.7e9 + 600 * 199
    assert last < active.opened <= last + 5 * 600
    assert active.reason.startswith("no reading for 10 h, usually one every 10 min")
    assert (ended.id, ended.cleared_by, ended.time) == (active.id, "heard again", 1.7e9 + 600 * 260)
    assert told(loaded, lone(range(200, 201)), "silent") == []


def test_a_device_that_leaps_ahead_while_others_go_on_has_a_wrong_clock(loaded: Config) -> None:
    random = np.random.default_rng(2)
    lines = [
        f"{1.7e9 + 60 * i + (86_400 if d == 'B' and 200 <= i < 300 else 0):.0f},{d},{random.normal():.4f},1000"
        for i in range(400)
        for d in "AB"
    ]
    active, ended = told(loaded, "\n".join(["time,device,vibration,pressure", *lines]), "clock")
    assert (active.device, ended.cleared_by) == ("B", "quiet")
    assert active.reason.startswith("its clock is 24 h ahead")


@pytest.mark.parametrize("how", ["reverse", "shuffled", "by device"])
def test_a_file_in_no_order_of_time_is_sorted_and_says_so_once(config: Path, loaded: Config, how: str) -> None:
    in_order = csv_of(stream(0, 600)).strip().split("\n")
    head, lines = in_order[0], sorted(in_order[1:], key=lambda line: float(line.split(",")[0]))
    mixed = lines[::-1] if how == "reverse" else list(np.random.default_rng(0).permutation(lines))
    if how == "by device":
        mixed = sorted(lines, key=lambda line: line.split(",")[1])
    right, expected = run(config, "\n".join([head, *lines]) + "\n")
    result, summary = run(config, "\n".join([head, *mixed]) + "\n")
    assert result.stderr.count("not in order of time") == 1
    assert (summary["sorted"], summary["alerts"]) == (True, expected["alerts"])
    assert result.stdout.split("\n")[:-2] == right.stdout.split("\n")[:-2]
    kept, summary = run(config, "\n".join([head, *mixed]) + "\n", "--order", "file")
    assert not summary["sorted"]
    assert "with --order time it is sorted" in kept.stderr
    assert " its clock " not in kept.stderr
    assert " its time " not in kept.stderr


def test_times_that_come_again_are_counted(config: Path) -> None:
    text = f"time,vibration,pressure\n{T0},1,1000\n{T0},1,1000\n2024-01-02,1,1000\n"
    result, summary = run(config, text)
    assert (summary["readings"], summary["duplicates"]) == (3, 1)
    assert "1 readings have the time of the one before" in result.stderr


@pytest.mark.parametrize("when", ["31.12.2024 10:00", "12/31/2024", "1-2-24 8:00"])
def test_a_day_that_is_written_first_gets_a_hint(config: Path, when: str) -> None:
    result, _ = run(config, f"time,vibration,pressure\n{when},1,1000\n{T0},1,1\n")
    assert "write the day as year-month-day, for example 2024-12-31 08:30:00" in result.stderr


def test_files_without_readings_or_values_say_so_and_a_channel_without_values_is_named(config: Path) -> None:
    result, _ = run(config, "time,vibration,pressure\n")
    assert (result.exit_code, "the file has a header and no readings" in result.stderr) == (1, True)
    result, summary = run(config, f"time,vibration,pressure\n{T0},,\n2024-01-02,nan,\n")
    assert (result.exit_code, summary["readings"]) == (1, 2)
    assert "the file has no value at all: nothing was watched" in result.stderr
    rows = "".join(f"{1.7e9 + 60 * i:.0f},{i % 3},\n" for i in range(40))
    result, summary = run(config, f"time,vibration,pressure\n{rows}")
    assert (result.exit_code, "no value in any line: pressure" in result.stderr) == (0, True)
    assert summary["left_out"] == {"input": {"pressure": "never reported"}}


def test_a_channel_that_stops_in_a_file_is_told(loaded: Config) -> None:
    rows = lone(range(0)).split("\n")
    rows[200:] = [f"{line.rsplit(',', 1)[0]}," for line in rows[200:] if line]
    (active,) = told(loaded, "\n".join(rows), "silent")
    assert active.reason.startswith("no pressure for ")
