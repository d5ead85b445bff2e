"""A plant's sensors over four weeks: what its gateway would have said, and what it should have.

    python -m examples.iot_monitoring [--seed N] [--keep FOLDER]

Three pumps and three cold rooms report every five and every ten minutes. Four weeks of them are written as CSV files
and replayed through the gateway's own stages, with a configuration that names channels, units and physical ranges and
sets an alert budget. From the second week on machines fail and sensors break; the program says what was found, shows
the alert rate that was asked for beside the one there was, and fails when it was less than promised below.
`--keep` leaves configuration and files behind, for `vedette-agent replay`.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from examples.injected import ANOMALY, Account, account, promised, seed_parser, show
from examples.iot_plant import Fleet, Plant
from vedette_agent.config import load
from vedette_agent.replay import Replay, open_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette_agent.config import Config
    from vedette_models.messages import Alert

BUDGET = 0.5
MOST_MISSED, MOST_FALSE = 1, 1.0
"""What is promised: at most so many machine failures missed, no broken sensor missed, and at most so many false
anomaly alerts per device-week."""
CONFIGURATION = f"""\
[gateway]
id = "plant-7"

[devices]
url = "mqtt://localhost:1883"

[[streams]]
topic = "plant/pumps/{{device}}"
profile = "pump"

[[streams]]
topic = "plant/cold/{{device}}"
profile = "cold_room"

[profiles.pump.channels]
temperature = {{ unit = "°C", low = -40, high = 150 }}
vibration = {{ unit = "mm/s", low = 0, high = 50 }}
pressure = {{ unit = "bar", low = 0, high = 16 }}

[profiles.pump.decisions]
alerts_per_week = {BUDGET}

[profiles.cold_room.channels]
temperature = {{ unit = "°C", low = -40, high = 80 }}
humidity = {{ unit = "%", low = 0, high = 100 }}

[profiles.cold_room.decisions]
alerts_per_week = {BUDGET}
"""


def write(folder: Path, fleets: Sequence[Fleet]) -> list[Path]:
    """Write `agent.toml`, and each fleet as a CSV file in the order of time; return those."""
    (folder / "agent.toml").write_text(CONFIGURATION, encoding="utf-8")
    paths = []
    for fleet in fleets:
        path = folder / f"{fleet.profile}.csv"
        rows = [
            (time, recording.device, values)
            for recording in fleet.recordings
            for time, values in zip(recording.time.tolist(), recording.values.tolist(), strict=True)
        ]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("time", "device", *fleet.channels))
            for time, device, values in sorted(rows, key=lambda row: row[:2]):
                written = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                writer.writerow((written, device, *("" if np.isnan(value) else f"{value:.10g}" for value in values)))
        paths.append(path)
    return paths


def replay(config: Config, path: Path) -> tuple[list[Alert], dict[str, object]]:
    """All alert events of a file, and the replay's own summary."""
    alerts: list[Alert] = []
    with open_input(path) as file:
        run = Replay(config, file, profile=path.stem)
        said = run.events
        for _ in run.run():
            if run.events is not said:
                said = run.events
                alerts += said
    return alerts, run.summary.as_json()


def run(seed: int, folder: Path) -> tuple[Account, list[dict[str, object]]]:
    """Simulate, write, replay, and hold against each other."""
    plant = Plant(seed)
    paths = write(folder, plant.fleets)
    config = load(folder / "agent.toml", {})
    replayed = [replay(config, path) for path in paths]
    watched = {each.device: each.span for fleet in plant.fleets for each in fleet.recordings}
    alerts = [alert for said, _ in replayed for alert in said]
    return account(plant.injected, alerts, watched), [summary for _, summary in replayed]


def is_kept(result: Account) -> bool:
    """Whether the promises hold."""
    missed = [outcome.injected for outcome in result.outcomes if outcome.alert is None]
    failures = [injected for injected in missed if injected.kinds == (ANOMALY,)]
    return len(failures) <= MOST_MISSED and len(failures) == len(missed) and result.rate <= MOST_FALSE


def _rates(summary: dict[str, object]) -> str:
    budget = summary["budget"]
    if not isinstance(budget, dict):
        raise TypeError(f"the replay's summary has no budget: {budget!r}")
    return (
        f"target {budget['target']:g}, realised {budget['realised']:.2f} anomaly alerts per device-week in "
        f"{budget['device_weeks']:.0f}; {summary['alerts_per_device_week']:.2f} with sensor faults"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the promises hold."""
    parser = seed_parser(__doc__, "another plant, other failures")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave agent.toml and the readings there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.keep is None else options.keep
        folder.mkdir(parents=True, exist_ok=True)
        result, summaries = run(options.seed, folder)
    print(show("Four weeks of a plant", result, BUDGET))
    print("\nas the gateway itself counts, which cannot know which alerts are true:")
    for summary in summaries:
        print(f"  {summary['profile']}: {_rates(summary)}")
    promise = f"at most {MOST_MISSED} failure and no broken sensor missed, at most {MOST_FALSE:g} false a device-week"
    code = promised(promise, kept=is_kept(result))
    if options.keep is not None:
        print(f"again: vedette-agent replay --config {folder}/agent.toml --profile pump {folder}/pump.csv")
    return code


if __name__ == "__main__":
    sys.exit(main())
