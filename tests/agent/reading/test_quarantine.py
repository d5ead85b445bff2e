from __future__ import annotations

from vedette_agent.reading.dead_letter_samples import AT_ONCE, EVERY, DeadLetterSamples
from vedette_agent.reading.quarantine import GOOD, WATCHED, Quarantine

NOW = 1_790_000_000.0


def fill(quarantine: Quarantine, device: str, messages: int, uptime: float = 0.0) -> None:
    for _ in range(messages):
        quarantine.bad(device, "not_json", NOW + uptime, uptime)


def test_sustained_garbage_ends_in_quarantine_and_a_bad_day_does_not() -> None:
    quarantine = Quarantine(100, 60.0, 3_600.0)
    fill(quarantine, "broken", 99)
    assert quarantine.names == set()
    fill(quarantine, "broken", 1)
    assert quarantine.names == {"broken"}
    for _ in range(500):  # every second message is fine
        fill(quarantine, "half", 1)
        if "half" in quarantine:
            quarantine.good("half", 1, 0.0)
    for minute in range(1_000):  # one a minute
        fill(quarantine, "seldom", 1, 60.0 * minute)
    assert quarantine.names == {"broken"}


def test_probation_ends_with_usable_messages_and_a_relapse_lasts_twice_as_long() -> None:
    quarantine = Quarantine(10, 60.0, 200.0)
    uptime = 0.0
    fill(quarantine, "broken", 10)
    for length in (60.0, 120.0, 200.0, 200.0):
        quarantine.pass_time(NOW, uptime + length - 1)
        assert quarantine.names == {"broken"}
        uptime += length
        quarantine.pass_time(NOW, uptime)
        assert [one.state for one in quarantine.listed(NOW, uptime)] == ["probation"]
        fill(quarantine, "broken", 1, uptime)
        assert quarantine.names == {"broken"}
    uptime += 200.0
    quarantine.pass_time(NOW, uptime)
    quarantine.good("broken", GOOD, uptime)
    assert list(quarantine.listed(NOW, uptime)) == []
    fill(quarantine, "broken", 10, uptime)
    [listed] = quarantine.listed(NOW, uptime)
    assert listed.until == NOW + 200.0, "it is remembered that it has been here before"


def test_a_released_device_begins_anew() -> None:
    quarantine = Quarantine(10, 60.0, 200.0)
    fill(quarantine, "broken", 10)
    for _ in range(7):
        quarantine.unread("broken")
    [listed] = quarantine.listed(NOW, 0.0)
    assert (listed.device, listed.state, listed.reason, listed.dead_letters) == ("broken", "quarantined", "not_json", 7)
    assert quarantine.release("broken")
    assert not quarantine.release("broken")
    fill(quarantine, "broken", 9)
    assert quarantine.names == set()


def test_the_table_is_bounded_and_who_is_in_quarantine_stays_there() -> None:
    quarantine = Quarantine(10, 60.0, 200.0)
    for i in range(WATCHED - 1):
        fill(quarantine, f"bad-{i}", 10)
    for i in range(10_000):
        fill(quarantine, f"made-up-{i}", 1)
    assert len(quarantine) == WATCHED
    assert len(quarantine.names) == WATCHED - 1
    fill(quarantine, "last", 10)
    fill(quarantine, "no room", 10)
    assert len(quarantine) == len(quarantine.names) == WATCHED


def test_old_sins_are_forgotten() -> None:
    quarantine = Quarantine(10, 60.0, 600.0)
    fill(quarantine, "once", 5)
    quarantine.pass_time(NOW, 500.0)
    assert "once" in quarantine
    quarantine.pass_time(NOW, 1_000.0)
    assert "once" not in quarantine


def test_none_is_quarantined_where_that_is_switched_off() -> None:
    quarantine = Quarantine(0, 60.0, 600.0)
    fill(quarantine, "broken", 10_000)
    assert len(quarantine) == 0


def test_samples_are_of_every_source_in_turn_and_seldom_of_one_that_sends_nothing_else() -> None:
    samples = DeadLetterSamples()
    sources = ["storm"] * 490 + ["a", "b"] * 11
    chosen = [sources[i] for i in samples.choose(sources, 0.0)]
    assert {source: chosen.count(source) for source in set(chosen)} == {"storm": 7, "a": 7, "b": 6}
    kept = sum(len(samples.choose(["storm"] * 512, float(second))) for second in range(3_000))
    assert kept <= AT_ONCE - 7 + 3_000 / EVERY + 1
    many = sum(len(samples.choose([f"made up {i}"], 0.0)) for i in range(5_000))
    assert many == 5_000
    assert len(samples._left) <= 1_024
