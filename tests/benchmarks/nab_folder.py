"""A small folder in the layout of the Numenta Anomaly Benchmark, of generated series."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 1_200
BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
SERIES = {
    "quiet/steady.csv": [],
    "plant/pressure.csv": [(600, 660)],
    "plant/flow.csv": [(500, 540), (900, 980)],
    "office/door.csv": [(800, 880)],
}
"""By name, first and last row of each window; in the middle of each the values leave their range."""
PROFILES = {
    "standard": {"CostMatrix": {"tpWeight": 1.0, "fnWeight": 1.0, "fpWeight": 0.11, "tnWeight": 1.0}},
    "reward_low_FP_rate": {"CostMatrix": {"tpWeight": 1.0, "fnWeight": 1.0, "fpWeight": 0.22, "tnWeight": 1.0}},
    "reward_low_FN_rate": {"CostMatrix": {"tpWeight": 1.0, "fnWeight": 2.0, "fpWeight": 0.11, "tnWeight": 1.0}},
}


def when(row: int) -> str:
    """The timestamp of a row, as the benchmark writes it."""
    return (BEGIN + timedelta(minutes=5 * row)).strftime("%Y-%m-%d %H:%M:%S")


def write_folder(folder: Path) -> Path:
    """Write data, labels and profiles."""
    random = np.random.default_rng(5)
    for name, windows in SERIES.items():
        values = 20.0 + np.sin(np.arange(ROWS) * 2.0 * np.pi / 288.0) + random.normal(0.0, 0.1, ROWS)
        for first, last in windows:
            middle = (first + last) // 2
            values[middle : middle + 5] += 12.0
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = "".join(f"{when(i)},{value:.6f}\n" for i, value in enumerate(values))
        path.write_text("timestamp,value\n" + rows)
    (folder / "labels").mkdir()
    labels = {
        name: [[f"{when(first)}.000000", f"{when(last)}.000000"] for first, last in windows]
        for name, windows in SERIES.items()
    }
    (folder / "labels/combined_windows.json").write_text(json.dumps(labels))
    (folder / "config").mkdir()
    (folder / "config/profiles.json").write_text(json.dumps(PROFILES))
    return folder
