"""A new model proves itself beside the one before it; whatever is wrong with it, the one before runs again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.agent.update.disk import Disk, Killed
from tests.agent.update.model_hub import PROFILE, model, release
from tests.faults.gateway import Gateway, order, signed
from tests.models.forests import DEVICES, normal_readings, small_artifact
from vedette_agent.reading.trial import BLOCK, OnTrial
from vedette_agent.update.probation import Terms
from vedette_models import artifact
from vedette_models.detectors.forest import Forest
from vedette_models.detectors.isolation_forest import IsolationForest
from vedette_models.golden import Golden
from vedette_models.readings import ReadingBatch
from vedette_models.rejection import Rejection

HOUR = 3_600.0
TERMS = Terms(seconds=HOUR, cost=10.0)
OLD, NEW = model(1), model(2)
NEVER_MIND = 1e-9
"""A budget of processor time that nothing keeps."""


@lru_cache
def loud(number: int = 0) -> bytes:
    """An honest artefact of a bad model: its boundary lies among what is normal."""
    made = small_artifact()
    learnt = made.learnt._replace(
        parameters={**made.learnt.parameters, "offset": -0.3 - 1e-6 * number, "typical": 0.01}
    )
    golden = Golden.recorded(IsolationForest.build(2, learnt), normal_readings(2, 8 * DEVICES, seed=1))
    return artifact.to_bytes(replace(made, learnt=learnt, golden=golden))


def readings(count: int, seed: int = 7) -> ReadingBatch:
    return normal_readings(2, count, seed=seed)


STORED = readings(40 * BLOCK)


async def settled(folder: Path, terms: Terms | None = TERMS) -> Gateway:
    """A gateway with a model that has proved itself, and stored readings."""
    gateway = Gateway(folder, terms=terms)
    await gateway.start()
    await gateway.follow(1, 1, OLD)
    score(gateway, readings(8))
    gateway.time.passes(HOUR)
    await gateway.step()
    assert gateway.runs == artifact.sha256(OLD)
    assert not gateway.updater.running()[PROFILE].on_probation
    gateway.readings = STORED
    return gateway


def score(gateway: Gateway, batch: ReadingBatch) -> np.ndarray[Any, Any]:
    """Live readings."""
    detector = gateway.running[PROFILE].detector
    devices = int(batch.device.max()) + 1
    if detector.devices < devices:
        detector.resize(devices)
    return detector.score(batch).total


def told(gateway: Gateway) -> list[tuple[str, int, str]]:
    return [(a.outcome, a.version, a.reason) for a in gateway.told]


def left(version: int, reason: Rejection, before: int | None = 1) -> list[tuple[str, int, str]]:
    """What is reported of a version that is left."""
    back = [] if before is None else [("rolled_back", before, str(reason))]
    return [*back, ("refused", version, str(reason))]


async def assert_left(gateway: Gateway, new: str, reason: Rejection, counter: int) -> None:
    """The version before runs, also after a restart, and the other one is not tried again until it is ordered anew."""
    assert gateway.runs == artifact.sha256(OLD)
    assert told(gateway)[-1] == ("refused", 2, str(reason))
    said = len(gateway.told)
    for _ in range(2):
        await gateway.start()
        assert gateway.runs == artifact.sha256(OLD)
    assert len(gateway.told) == said, "told once"
    assert gateway.store.journal.held[PROFILE].sha256 == new
    assert gateway.store.journal.attempts == {}


@pytest.mark.fault(fault="probation: a model like the one before", expected="it stays")
async def test_a_good_model_stays(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    gateway = await settled(tmp_path)
    sha256 = await gateway.follow(2, 2, NEW)
    assert gateway.runs == sha256
    assert gateway.updater.running()[PROFILE].on_probation
    assert isinstance(gateway.running[PROFILE].detector, OnTrial)
    for part in range(20):
        score(gateway, readings(8 * BLOCK, seed=part))
        gateway.time.passes(HOUR / 20)
        await gateway.step()
    assert not gateway.updater.running()[PROFILE].on_probation
    assert gateway.store.journal.attempts == {}
    assert told(gateway)[1:] == [("activated", 2, "")]
    await gateway.start()
    assert gateway.runs == sha256
    record_property("observed", "version 2 runs for good after an hour")


@pytest.mark.fault(fault="probation: too many alerts on stored readings", expected="left before it says anything")
async def test_a_model_that_alerts_too_often_on_what_is_stored_never_runs(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    gateway = await settled(tmp_path)
    sha256 = await gateway.follow(2, 2, loud())
    assert told(gateway)[1:] == [("refused", 2, "too_many_alerts")]
    record_property("observed", gateway.told[-1].detail)
    assert "40 stretches" in gateway.told[-1].detail or "alone exceeds" in gateway.told[-1].detail
    await assert_left(gateway, sha256, Rejection.TOO_MANY_ALERTS, 2)


@pytest.mark.fault(fault="probation: too many alerts on live readings", expected="rolled back within some stretches")
async def test_a_model_that_alerts_too_often_live_is_rolled_back(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    gateway = await settled(tmp_path)
    gateway.readings = None
    sha256 = await gateway.follow(2, 2, loud())
    assert gateway.runs == sha256
    scored = 0
    while gateway.runs == sha256 and scored < 100 * BLOCK:
        score(gateway, readings(BLOCK, seed=scored))
        scored += BLOCK
        await gateway.step()
    assert told(gateway)[2:] == left(2, Rejection.TOO_MANY_ALERTS)
    assert scored <= 40 * BLOCK
    record_property("observed", f"rolled back after {scored} readings: {gateway.told[-1].detail}")
    await assert_left(gateway, sha256, Rejection.TOO_MANY_ALERTS, 2)


def break_on(monkeypatch: pytest.MonkeyPatch, what: Callable[[], Any]) -> None:
    """Version 2 does `what` at a reading of 666; readings are otherwise scored as they are."""
    whole = IsolationForest.score

    def scored(self: IsolationForest, batch: ReadingBatch) -> Any:
        said = whole(self, batch)
        if (batch.values == 666.0).any() and self.forest.offset != OFFSET:
            replaced = what()
            return said if replaced is None else replaced
        return said

    monkeypatch.setattr(IsolationForest, "score", scored)


OFFSET = small_artifact().learnt.parameters["offset"]


@lru_cache
def another() -> bytes:
    """A model a hair's breadth from the others, by which it can be told."""
    made = small_artifact()
    learnt = made.learnt._replace(parameters={**made.learnt.parameters, "offset": OFFSET - 1e-9})
    readings = ReadingBatch.of(made.golden.device, made.golden.time, made.golden.values)
    return artifact.to_bytes(
        replace(made, learnt=learnt, golden=Golden.recorded(IsolationForest.build(2, learnt), readings))
    )


def unusual() -> ReadingBatch:
    batch = readings(BLOCK)
    batch.values[5] = 666.0
    return batch


def raises() -> None:
    raise ZeroDivisionError("planted")


def out_of_memory() -> None:
    raise MemoryError


class NoScores:
    total = np.full(BLOCK, np.nan)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(what, marks=pytest.mark.fault(fault=f"probation: {name}", expected="rolled back, no reading lost"))
        for name, what in {
            "an error while scoring": raises,
            "out of memory while scoring": out_of_memory,
            "scores that are no numbers": NoScores,
        }.items()
    ],
)
async def test_an_error_of_a_new_model_costs_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any, record_property: Callable[[str, object], None]
) -> None:
    gateway, twin = await settled(tmp_path / "one"), await settled(tmp_path / "two")
    sha256 = await gateway.follow(2, 2, another())
    assert gateway.runs == sha256
    for seed in range(3):
        score(gateway, readings(BLOCK, seed)), score(twin, readings(BLOCK, seed))
    break_on(monkeypatch, fault)
    said, alone = score(gateway, unusual()), score(twin, unusual())
    assert said.tolist() == alone.tolist(), "the one before has seen everything, and answers in its place"
    await gateway.step()
    assert told(gateway)[2:] == left(2, Rejection.CRASHED)
    assert score(gateway, readings(BLOCK, 4)).tolist() == score(twin, readings(BLOCK, 4)).tolist(), "without a gap"
    record_property("observed", gateway.told[-1].detail)
    await assert_left(gateway, sha256, Rejection.CRASHED, 2)


@pytest.mark.fault(fault="probation: an error on stored readings", expected="left before it is asked about others")
async def test_an_error_on_stored_readings_is_found_before_the_model_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    gateway = await settled(tmp_path)
    gateway.readings = unusual()
    break_on(monkeypatch, raises)
    sha256 = await gateway.follow(2, 2, another())
    assert told(gateway)[1:] == [("refused", 2, "crashed")]
    record_property("observed", gateway.told[-1].detail)
    await assert_left(gateway, sha256, Rejection.CRASHED, 2)


@pytest.mark.fault(fault="probation: scoring costs more than the budget", expected="left, saying what it costs")
async def test_a_model_that_is_too_slow_is_left(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    gateway = await settled(tmp_path, TERMS)
    gateway.terms = TERMS._replace(cost=NEVER_MIND)
    await gateway.start()
    sha256 = await gateway.follow(2, 2, NEW)
    assert told(gateway)[1:] == [("refused", 2, "too_slow")]
    assert "ms a reading" in gateway.told[-1].detail
    record_property("observed", gateway.told[-1].detail)
    await assert_left(gateway, sha256, Rejection.TOO_SLOW, 2)


@pytest.mark.fault(fault="probation: golden scores drift", expected="rolled back at the end of the probation")
async def test_a_model_whose_golden_scores_drift_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    gateway = await settled(tmp_path)
    sha256 = await gateway.follow(2, 2, NEW)
    score(gateway, readings(BLOCK))
    exact = Forest.decision_function
    monkeypatch.setattr(Forest, "decision_function", lambda self, vectors: exact(self, vectors) + 1e-6)
    gateway.time.passes(HOUR)
    await gateway.step()
    monkeypatch.undo()
    assert told(gateway)[2:] == left(2, Rejection.GOLDEN_MISMATCH)
    record_property("observed", gateway.told[-1].detail)
    await assert_left(gateway, sha256, Rejection.GOLDEN_MISMATCH, 2)


@pytest.mark.fault(
    fault="probation: the agent is killed again and again", expected="after three times the one before runs"
)
async def test_a_model_with_which_the_agent_ends_time_and_again_is_left(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    gateway = await settled(tmp_path)
    sha256 = await gateway.follow(2, 2, NEW)
    for _ in range(TERMS.starts - 1):
        await gateway.start()
        assert gateway.runs == sha256
    await gateway.start()
    assert told(gateway)[2:] == left(2, Rejection.CRASHED)
    record_property("observed", gateway.told[-1].detail)
    await assert_left(gateway, sha256, Rejection.CRASHED, 2)


@pytest.mark.fault(
    fault="the agent is killed again and again while it tries a model", expected="it is tried three times"
)
async def test_a_model_that_ends_the_agent_on_stored_readings_is_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    gateway = await settled(tmp_path)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("vedette_agent.update.probation.rehearse", killed)
        gateway.publish(NEW)
        with pytest.raises(Killed):
            await gateway.hear(signed(order(2, {PROFILE: release(2, NEW)})))
        for _ in range(TERMS.starts - 1):
            with pytest.raises(Killed):
                await gateway.start()
            assert gateway.runs == artifact.sha256(OLD)
        await gateway.start()
    assert told(gateway)[1:] == [("refused", 2, "crashed")]
    record_property("observed", gateway.told[-1].detail)
    await assert_left(gateway, artifact.sha256(NEW), Rejection.CRASHED, 2)


async def test_who_is_stopped_orderly_is_not_to_blame(tmp_path: Path) -> None:
    gateway = await settled(tmp_path)
    sha256 = await gateway.follow(2, 2, NEW)
    for _ in range(3 * TERMS.starts):
        gateway.updater.stopped()
        await gateway.start()
        assert gateway.runs == sha256
        assert gateway.updater.running()[PROFILE].on_probation, "its hour begins anew"
    score(gateway, readings(8))
    gateway.time.passes(HOUR)
    await gateway.step()
    assert not gateway.updater.running()[PROFILE].on_probation


async def test_nothing_is_proved_while_nothing_is_scored(tmp_path: Path) -> None:
    gateway = await settled(tmp_path)
    await gateway.follow(2, 2, NEW)
    gateway.time.passes(10 * HOUR)
    await gateway.step()
    assert gateway.updater.running()[PROFILE].on_probation


async def test_a_first_model_that_fails_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(tmp_path, terms=TERMS)
    await gateway.start()
    await gateway.follow(1, 2, another())
    break_on(monkeypatch, raises)
    assert score(gateway, unusual()).tolist() == [0.0] * BLOCK
    await gateway.step()
    assert gateway.runs == ""
    assert told(gateway)[1:] == left(2, Rejection.CRASHED, None)


async def test_the_hub_may_go_back_to_what_has_proved_itself_whatever_it_says(tmp_path: Path) -> None:
    gateway = await settled(tmp_path, None)
    gateway.readings = None
    loudest = await gateway.follow(2, 2, loud())
    gateway.terms = TERMS
    await gateway.start()
    quiet = await gateway.follow(3, 1, OLD)
    assert gateway.runs == quiet
    gateway.readings = STORED
    await gateway.follow(4, 2, loud())
    assert gateway.runs == loudest, "it ran here before, and was left by nobody"
    assert not gateway.updater.running()[PROFILE].on_probation


async def test_what_has_not_proved_itself_is_nothing_to_go_back_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await settled(tmp_path)
    await gateway.follow(2, 2, NEW)
    await gateway.follow(3, 3, another())
    assert gateway.store.journal.previous[PROFILE].release.version == 1
    break_on(monkeypatch, raises)
    score(gateway, unusual())
    await gateway.step()
    assert gateway.runs == artifact.sha256(OLD)


async def test_the_operator_may_leave_a_model_on_probation(tmp_path: Path) -> None:
    gateway = await settled(tmp_path)
    sha256 = await gateway.follow(2, 2, NEW)
    answer = await gateway.updater.rollback(PROFILE, sha256)
    assert answer.done
    assert gateway.runs == artifact.sha256(OLD)
    assert not gateway.updater.running()[PROFILE].on_probation
    await gateway.start()
    assert gateway.runs == artifact.sha256(OLD)
    assert gateway.store.journal.attempts == {}


async def test_a_failed_version_is_held_while_its_own_order_stays_the_same(tmp_path: Path) -> None:
    gateway = await settled(tmp_path)
    gateway.publish(loud())
    bad = release(2, loud(), ordered=100.0)
    await gateway.hear(signed(order(2, {PROFILE: bad})))
    assert told(gateway)[-1] == ("refused", 2, "too_many_alerts")
    said = len(gateway.told)
    other = release(1, OLD, ordered=200.0)
    await gateway.hear(signed(order(3, {PROFILE: bad, "fan": other})))
    found = {(a.profile, a.outcome, a.reason, a.counter) for a in gateway.told[said:]}
    again = (PROFILE, "refused", "too_many_alerts", 3)
    assert found == {("fan", "refused", "other_profile", 3), again}, "another profile's order is no order for this one"
    assert not any("stored readings" in a.detail for a in gateway.told[said:]), "it was not tried"
    await gateway.hear(signed(order(4, {PROFILE: release(2, loud(), ordered=300.0)})))
    assert told(gateway)[-1] == ("refused", 2, "too_many_alerts")
    assert len(gateway.told) == said + 3, "ordered anew, it was tried anew"
    assert "stored readings" in gateway.told[-1].detail


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(monkeypatch)
    yield made
    made.kill_at(-1)


async def go(gateway: Gateway, what: str) -> None:
    """From an order to the end of the probation, in one of three ways."""
    await gateway.start()
    data = NEW if what == "stays" else another()
    await gateway.follow(2, 2, data)
    if gateway.runs == artifact.sha256(data) and gateway.updater.running()[PROFILE].on_probation:
        score(gateway, unusual())
        gateway.time.passes(HOUR)
    await gateway.step()


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            what,
            marks=pytest.mark.fault(
                fault=f"killed before every write while a new model {what}",
                expected="a valid model runs, and it ends well",
            ),
        )
        for what in ("stays", "is left")
    ],
)
async def test_a_kill_at_any_write_leaves_a_valid_model_and_the_probation_ends(
    tmp_path: Path,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    record_property: Callable[[str, object], None],
) -> None:
    known = {artifact.sha256(OLD), artifact.sha256(NEW), artifact.sha256(another())}
    kills = 0
    for operation in range(0, 300, 1 if os.environ.get("FAULTS_LONG") else 3):
        gateway = await settled(tmp_path / str(operation))
        with monkeypatch.context() as patched:
            if what == "is left":
                break_on(patched, raises)
            disk.kill_at(operation)
            try:
                await go(gateway, what)
            except Killed:
                kills += 1
                disk.kill_at(-1)
                gateway.running.clear()
                await gateway.start()
                assert gateway.runs in known, "after the restart a valid model runs at once"
                await go(gateway, what)
            else:
                break
            finally:
                disk.kill_at(-1)
            journal = gateway.store.journal
            assert gateway.runs == artifact.sha256(NEW if what == "stays" else OLD)
            assert not gateway.updater.running()[PROFILE].on_probation
            assert journal.attempts == {}
            assert (PROFILE in journal.held) is (what == "is left")
            outcomes = {(a.outcome, a.version) for a in gateway.told[1:]}
            assert outcomes == {("activated", 2)} | (
                {("rolled_back", 1), ("refused", 2)} if what == "is left" else set()
            )
    assert kills > 6
    record_property(
        "observed", f"{kills} kills; each time a valid model ran at once, and the probation ended as it should"
    )
