"""Samples reach the store once, as they were sent; what is malformed is kept raw; the bound holds."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine

from tests.hub.learning.readings import deliver, samples, series
from vedette_hub.config import LimitsSection
from vedette_hub.learning.hygiene import Mark
from vedette_hub.learning.sources import store
from vedette_hub.store.database import reading
from vedette_hub.store.fleet import read_counters
from vedette_hub.store.retention import prune
from vedette_hub.store.samples import SampleTotals, sample_totals
from vedette_models.messages import Committed, SampleBatch, Segment


def totals(engine: Engine) -> dict[str, SampleTotals]:
    with reading(engine) as connection:
        return {total.profile: total for total in sample_totals(connection)}


def test_a_row_of_samples_is_stored_and_receipted_and_a_duplicate_changes_nothing(engine: Engine) -> None:
    batch = samples(1)
    assert deliver(engine, batch).rows == 1
    again = deliver(engine, batch, batch)
    assert (again.duplicates, again.rows) == (1, 1)
    assert deliver(engine, batch).receipts["gw-1"][0].committed == (Committed("samples", "e1", 2),)
    assert (totals(engine)["pump"].segments, totals(engine)["pump"].readings) == (2, 600)
    with reading(engine) as connection:
        assert read_counters(connection)["samples"] == 600


def test_readings_come_back_exactly_with_what_was_not_reported(engine: Engine) -> None:
    segment = Segment("pump 1/a", (1.5, 2.5), ((1013.25, None), (0.1, -2.0)))
    deliver(engine, SampleBatch("pump", ("pressure", "flow"), (segment,), 3.0))
    with reading(engine) as connection:
        (found,) = store.read(connection, "pump").series
    assert found.device == "gw-1/pump%201%2Fa"
    assert found.times.tolist() == [1.5, 2.5]
    np.testing.assert_array_equal(found.values, [[1013.25, np.nan], [0.1, -2.0]])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"channels": ("pressure",)}, "a reading without a place for each of 1 channels"),
        ({"channels": ("flow", "flow")}, "each named once"),
        ({"channels": ()}, "each named once"),
        ({"profile": ""}, "profile: empty"),
        ({"profile": "a\nb"}, "control characters"),
        ({"segments": (Segment("d", (1.0,), ()),)}, "1 times for 0 readings"),
        ({"segments": (Segment("d", (1e300,), ((1.0, 2.0),)),)}, "a time beyond"),
        ({"segments": (Segment("d" * 300, (), ()),)}, "300 characters"),
    ],
)
def test_malformed_samples_are_kept_raw_and_receipted(engine: Engine, fields: dict[str, object], problem: str) -> None:
    outcome = deliver(engine, samples(1, **fields))
    assert (outcome.unparsed, outcome.rows) == (1, 1)
    assert totals(engine) == {}
    from sqlalchemy import select

    from vedette_hub.store.schema import unparsed

    with reading(engine) as connection:
        assert problem in connection.execute(select(unparsed.c.error)).scalar_one()


def test_samples_sent_because_of_an_alert_are_suspect(engine: Engine) -> None:
    deliver(engine, samples(1), samples(2, suspect=True))
    with reading(engine) as connection:
        found = {one.device: one.marks for one in store.read(connection, "pump").series}
    assert found["gw-1/pump-1"] is None
    assert set(found["gw-1/pump-2"].tolist()) == {Mark.SUSPECT}  # type: ignore[union-attr]  # it has marks


def test_samples_of_other_channels_are_left_out_and_noted(engine: Engine) -> None:
    deliver(engine, samples(1, channels=("pressure", "heat")), samples(2, channels=("flow", "pressure")), samples(3))
    with reading(engine) as connection:
        found = store.read(connection, "pump")
    assert found.channels == ("pressure", "flow")
    assert [one.device for one in found.series] == ["gw-1/pump-3", "gw-1/pump-2"]
    np.testing.assert_array_equal(found.series[1].values, series(2, 300, start=1_700_200_000.0).values[:, ::-1])
    assert [(note.what, note.count) for note in found.notes] == [("segments", 1)]


def test_the_oldest_samples_of_the_largest_profile_go_first(engine: Engine) -> None:
    many = [samples(number, readings=3000) for number in range(1, 31)]
    deliver(engine, samples(1, profile="fan"), *many)
    before = totals(engine)
    assert sum(total.bytes for total in before.values()) > 2_000_000
    limits = LimitsSection(samples_mb=1)
    while prune(engine, limits):
        pass
    after = totals(engine)
    assert after["fan"] == before["fan"]
    assert sum(total.bytes for total in after.values()) <= 1_000_000
    assert after["pump"].newest == before["pump"].newest
