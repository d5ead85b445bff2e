"""The examples of traffic counters and of a shop's figures keep what they promise, and say so."""

from __future__ import annotations

import numpy as np
import pytest

from examples import business_metrics, security_threats
from examples.injected import Account, Outcome


@pytest.mark.parametrize("example", [security_threats, business_metrics], ids=["security", "business"])
class TestExample:
    @pytest.mark.slow
    def test_it_keeps_its_promises(self, example: object, capsys: pytest.CaptureFixture[str]) -> None:
        assert example.main([]) == 0  # type: ignore[attr-defined]  # a module
        said = capsys.readouterr().out
        assert "found: " in said
        assert said.rstrip().endswith("kept")

    def test_the_same_seed_gives_the_same_readings_and_another_others(self, example: object) -> None:
        (one, events), (same, _), (other, _) = (example.simulate(seed) for seed in (4, 4, 5))  # type: ignore[attr-defined]
        assert np.array_equal(one[0].values, same[0].values)
        assert not np.array_equal(one[0].values, other[0].values)
        assert all(injected.begins < injected.ends for injected in events)

    def test_it_fails_when_too_much_is_missed(
        self, example: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, events = example.simulate(1)  # type: ignore[attr-defined]
        nothing = Account(tuple(Outcome(event, None) for event in events), (), 10.0)
        monkeypatch.setattr(example, "run", lambda _: nothing)
        assert example.main([]) == 1  # type: ignore[attr-defined]
        assert "BROKEN" in capsys.readouterr().out
