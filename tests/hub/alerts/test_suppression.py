"""What keeps an alert from being told."""

from __future__ import annotations

from tests.hub.gateway import alert
from vedette_hub.alerts.lifecycle import AlertRecord, Ruling
from vedette_hub.alerts.maintenance import Window
from vedette_hub.alerts.matching import Matchers
from vedette_hub.alerts.suppression import Silence, suppressed_by

RECORD = AlertRecord(alert(1))
GW = Matchers(gateway=("gw-1",))


def test_a_silence_holds_from_its_start_until_before_its_end() -> None:
    silence = Silence(1, GW, 10.0, 20.0)
    assert [suppressed_by(RECORD, [silence], [], now) is not None for now in (9.9, 10.0, 19.9, 20.0)] == [
        False,
        True,
        True,
        False,
    ]


def test_only_what_matches_is_suppressed_by_the_severity_that_counts() -> None:
    silence = Silence(1, Matchers(severity=("low",)), 0.0, 20.0)
    window = Window(1, "w", Matchers(severity=("low",)), 0.0, 20.0)
    assert suppressed_by(RECORD, [silence], [window], 5.0) is None
    lowered = AlertRecord(alert(1), ruling=Ruling("low", "quiet"))
    assert suppressed_by(lowered, [silence], [window], 5.0) == silence
    assert suppressed_by(lowered, [], [window], 5.0) == window


def test_what_holds_longest_is_named_and_a_silence_before_a_window() -> None:
    silences = [Silence(1, GW, 0.0, 20.0), Silence(2, GW, 0.0, 30.0), Silence(3, Matchers(gateway=("x",)), 0.0, 99.0)]
    windows = [Window(1, "a", GW, 0.0, 50.0), Window(2, "b", GW, 0.0, 60.0), Window(3, "c", GW, 10.0, 90.0)]
    assert suppressed_by(RECORD, silences, windows, 5.0) == silences[1]
    assert suppressed_by(RECORD, [], windows, 5.0) == windows[1]
    assert suppressed_by(RECORD, [], [], 5.0) is None
