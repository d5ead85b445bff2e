from __future__ import annotations

from pathlib import Path

from benchmarks.outage import run


def test_a_short_outage_is_made_up_for(tmp_path: Path) -> None:
    result = run(250, tmp_path)
    assert result["ok"], result
    assert (result["alerts_at_the_hub"], result["delivered_twice"], result["rows_left"]) == (250, 0, 0)
    assert result["hours_left_said"], "from the first minute on"
