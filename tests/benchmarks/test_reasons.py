"""The benchmark of reasons: what is injected, and that it is counted as it is found."""

from __future__ import annotations

import numpy as np

from benchmarks import reasons


def test_each_fault_is_in_one_channel_and_six_of_its_standard_deviations() -> None:
    made = reasons.plants(8, seed=0)
    normal = made.values[: reasons.LEARNT]
    for device in range(8):
        channel, kind = made.channel[device], reasons.FAULTS[made.fault[device]]
        after = made.values[reasons.LEARNT :, device]
        off = (after - normal[:, device].mean(axis=0)) / normal[:, device].std(axis=0)
        others = np.delete(off, channel, axis=1)
        assert np.abs(others).max() < 5.5
        if kind == "spike":
            assert abs(off[0, channel]) > 2.5
            assert np.abs(off[1:, channel]).max() < 5.5
        elif kind == "noise":
            assert off[:, channel].std() > 3.0
        else:
            assert abs(off[:, channel].mean()) > 4.0
        if kind == "stuck":
            assert np.ptp(after[:, channel]) == 0.0


def test_faults_are_noticed_and_their_channel_stands_first() -> None:
    found = reasons.run(8, seed=3)
    assert found["injected"] == 8
    assert found["noticed"] >= 6
    assert found["alerts"] == sum(one["alerts"] for one in found["by_fault"].values())
    assert found["first"] == found["alerts"] > 0
    assert found["share_first"] == 1.0
    assert found["wrong"] == []
    assert all("usually" in said or "between" in said for said in found["examples"])
