from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.agent.streams import PROFILE, stream
from vedette_agent.reading.alert_state import AlertState, StateChange
from vedette_agent.reading.checkpoint import CheckpointError
from vedette_agent.reading.profile_watch import ProfileWatch
from vedette_models.messages import Alert
from vedette_models.profile import Channel, Profile
from vedette_models.readings import ReadingBatch

READINGS = 900
SEEDS = (0, 1, 2, 3)


class Outcome(NamedTuple):
    scores: NDArray[np.float64]
    events: list[tuple[int, Alert]]
    """With the position in the stream of the reading that caused each."""
    suppressed: int
    states: dict[tuple[str, str], bytes]
    """As committed last."""
    open_alerts: list[Alert]


def watch_of(profile: Profile = PROFILE, devices: int = 3) -> ProfileWatch:
    watch = ProfileWatch(profile, "gw", "epoch", 100)
    for i in range(devices):
        watch.table.row(f"device-{i}")
    return watch


def run(watch: ProfileWatch, batch: ReadingBatch, cuts: list[int]) -> Outcome:
    scores, events, suppressed = [], [], 0
    states: dict[tuple[str, str], bytes] = {}
    edges = [0, *sorted(cuts), len(batch)]
    for start, end in pairwise(edges):
        watched = watch.process(batch.take(slice(start, end)))
        scores.append(watched.verdicts.anomaly)
        events += [(start + row, e) for row, e in zip(watched.decided.rows, watched.decided.events, strict=True)]
        suppressed += watched.decided.suppressed
        for device, kind, state in watched.decided.changes:
            states[device, kind] = msgspec.json.encode(state)
    return Outcome(np.concatenate(scores), events, suppressed, states, watch.decider.open_alerts)


def rounded(alert: Alert) -> Alert:
    """Without the digits in which sums may differ by their order."""
    channels = tuple(
        msgspec.structs.replace(
            c, value=float(f"{c.value:.9g}"), low=float(f"{c.low:.7g}"), high=float(f"{c.high:.7g}")
        )
        for c in alert.channels
    )
    return msgspec.structs.replace(alert, score=float(f"{alert.score:.9g}"), channels=channels)


@cache
def whole_stream(seed: int) -> tuple[ReadingBatch, Outcome]:
    batch = stream(seed, READINGS)
    return batch, run(watch_of(), batch, [])


@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    cuts=st.one_of(
        st.lists(st.integers(0, READINGS), max_size=40),
        st.sampled_from([5, 32, 512]).map(lambda size: list(range(size, READINGS, size))),
    ),
)
@example(seed=1, cuts=list(range(READINGS)))
def test_any_split_into_batches_gives_the_same_scores_and_alerts(seed: int, cuts: list[int]) -> None:
    batch, whole = whole_stream(seed)
    parts = run(watch_of(), batch, cuts)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=0, atol=1e-9)
    assert [(at, rounded(e)) for at, e in parts.events] == [(at, rounded(e)) for at, e in whole.events]
    assert parts.suppressed == whole.suppressed
    assert sorted(map(repr, map(rounded, parts.open_alerts))) == sorted(map(repr, map(rounded, whole.open_alerts)))
    assert parts.states.keys() == whole.states.keys()


def test_the_streams_of_that_test_raise_escalate_clear_and_hold_back() -> None:
    outcomes = [whole_stream(seed)[1] for seed in SEEDS]
    events = [event for outcome in outcomes for _, event in outcome.events]
    assert {event.kind for event in events} == {"anomaly", "impossible", "stuck", "clock"}
    assert {event.state for event in events} == {"active", "cleared"}
    assert any(event.revision > 1 and event.state == "active" for event in events)
    assert len({event.severity for event in events}) >= 3
    assert sum(outcome.suppressed for outcome in outcomes) > 0


def test_committed_states_are_those_of_the_whole_stream() -> None:
    batch, whole = whole_stream(1)
    in_parts = run(watch_of(), batch, list(range(0, READINGS, 20)))
    for key, body in in_parts.states.items():
        alone, together = (msgspec.json.decode(b, type=AlertState) for b in (body, whole.states[key]))
        assert (alone.raised, alone.alert is None) == (together.raised, together.alert is None)


def test_alert_ids_are_never_used_twice() -> None:
    watch = watch_of()
    seen: set[tuple[str, int]] = set()
    for seed in SEEDS:
        for _, event in run(watch, stream(seed, 400), [100, 333]).events:
            assert (event.id, event.revision) not in seen
            seen.add((event.id, event.revision))
        decided = watch.forget("device-1", 2e9)
        assert decided is not None
        seen |= {(event.id, event.revision) for event in decided.events}
        watch.table.row("device-1")


def test_forgetting_makes_a_device_a_stranger() -> None:
    watch, fresh = watch_of(devices=1), watch_of(devices=1)
    run(watch, stream(1, 400, devices=1), [])
    assert watch.forget("device-0", 2e9) is not None
    assert watch.forget("device-0", 2e9) is None
    watch.table.row("device-0")
    batch = stream(2, 400, devices=1)
    np.testing.assert_array_equal(run(watch, batch, []).scores, run(fresh, batch, []).scores)


@pytest.mark.parametrize("cut", [300, 705, 730])
def test_a_checkpoint_resumes_with_the_same_scores_and_alerts(cut: int) -> None:
    batch, whole = whole_stream(0)
    first = watch_of()
    before = run(first, batch.take(slice(0, cut)), [])
    second = ProfileWatch(PROFILE, "gw", "epoch", 100)
    second.restore(first.checkpoint(1.0))
    second.decider.restore(
        [StateChange(*key, msgspec.json.decode(body, type=AlertState)) for key, body in before.states.items()]
    )
    after = run(second, batch.take(slice(cut, READINGS)), [])
    np.testing.assert_array_equal(np.concatenate([before.scores, after.scores]), whole.scores)
    assert [(e.device, e.kind, e.state, e.opened) for _, e in before.events + after.events] == [
        (e.device, e.kind, e.state, e.opened) for _, e in whole.events
    ]


def test_a_resumed_detector_remembers_the_larger_breaks_before() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.1, (530, 2))
    values[[400, 450, 520], 0] += [40.0, 30.0, 20.0]  # the first is too old by then, the second is not
    batch = ReadingBatch.of([0] * 530, [60.0 * i for i in range(530)], values)
    whole = run(watch_of(devices=1), batch, [])
    first = watch_of(devices=1)
    run(first, batch.take(slice(0, 510)), [])
    second = ProfileWatch(PROFILE, "gw", "epoch", 100)
    second.restore(first.checkpoint(1.0))
    resumed = run(second, batch.take(slice(510, 530)), [])
    np.testing.assert_array_equal(resumed.scores, whole.scores[510:])


def test_a_checkpoint_keeps_who_is_who_around_a_gap() -> None:
    first = watch_of()
    first.forget("device-1", 0.0)
    second = ProfileWatch(PROFILE, "gw", "epoch", 100)
    second.restore(first.checkpoint(1.0))
    assert second.table.names() == ["device-0", None, "device-2"]


@pytest.mark.parametrize(
    ("profile", "limit", "said"),
    [
        (Profile("pump", (Channel("vibration"),)), 100, "had the channels vibration, pressure and now has vibration"),
        (Profile("pump", PROFILE.channels[::-1]), 100, "now has pressure, vibration: learning anew"),
        (PROFILE, 2, "knew 3 devices, limits.max_devices is 2: learning anew"),
    ],
)
def test_a_changed_profile_learns_anew(profile: Profile, limit: int, said: str) -> None:
    saved = watch_of().checkpoint(1.0)
    changed = ProfileWatch(profile, "gw", "epoch", limit)
    with pytest.raises(CheckpointError, match=said):
        changed.restore(saved)
    assert changed.table.names() == []


def test_a_checkpoint_of_other_arrays_takes_nothing_over() -> None:
    saved = watch_of().checkpoint(1.0)
    name = "rangebreak"
    broken = saved._replace(detectors={name: {**saved.detectors[name], "unknown": np.zeros((3, 2))}})
    fresh = ProfileWatch(PROFILE, "gw", "epoch", 100)
    with pytest.raises(CheckpointError, match="learning anew"):
        fresh.restore(broken)
    assert fresh.table.names() == []


def test_a_detector_new_since_the_checkpoint_starts_from_nothing() -> None:
    fresh = ProfileWatch(PROFILE, "gw", "epoch", 100)
    fresh.restore(watch_of().checkpoint(1.0)._replace(detectors={}))
    assert fresh.table.names() == ["device-0", "device-1", "device-2"]
    run(fresh, stream(1, 50), [])
