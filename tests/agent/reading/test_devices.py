"""Rows of devices: given, found, freed and given again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.reading.devices import DeviceTable


def test_a_device_keeps_its_row() -> None:
    table = DeviceTable(3)
    assert [table.row(name) for name in ("a", "b", "a", "c", "b")] == [0, 1, 0, 2, 1]
    assert table.name(2) == "c"
    assert table.find("b") == 1
    assert (len(table), table.rows) == (3, 3)


def test_a_full_table_takes_no_new_device_and_keeps_the_known() -> None:
    table = DeviceTable(1)
    assert table.row("a") == 0
    assert table.row("b") is None
    assert table.find("b") is None
    assert table.row("a") == 0


def test_a_forgotten_row_has_no_name_and_goes_to_the_next_new_device() -> None:
    table = DeviceTable(2)
    table.row("a"), table.row("b")
    assert table.forget("a") == 0
    assert table.forget("a") is None
    with pytest.raises(KeyError, match="row 0 belongs to no device"):
        table.name(0)
    assert table.names() == [None, "b"]
    assert (len(table), table.rows) == (1, 2)
    assert table.row("c") == 0


def test_finding_makes_no_device() -> None:
    table = DeviceTable(1)
    assert table.find("a") is None
    assert len(table) == 0


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh")), max_size=60), st.integers(0, 6))
def test_a_table_of_names_continues_where_they_were_taken(steps: list[tuple[bool, str]], limit: int) -> None:
    table = DeviceTable(limit)
    for forget, name in steps:
        table.forget(name) if forget else table.row(name)
    assert len(table) <= limit
    assert table.rows <= limit
    known = {name: row for row, name in enumerate(table.names()) if name is not None}
    assert all(table.find(name) == row and table.name(row) == name for name, row in known.items())
    again = DeviceTable.of(limit, table.names())
    assert again.names() == table.names()
    assert {name: again.row(name) for name in known} == known
    free = {row for row, name in enumerate(table.names()) if name is None}
    assert again.row("new") in free | ({table.rows} if table.rows < limit else {None}) or len(known) == limit
