"""The demo's accounting: by sequence, never by counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.demo.accounting import Fates


def line(device: str, sequence: int | None, fate: str) -> str:
    return json.dumps({"device": device, "sequence": sequence, "time": 0.0, "fate": fate, "reason": ""}) + "\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace.jsonl"


def fates(trace: Path, *lines: str) -> Fates:
    trace.write_text("".join(lines))
    found = Fates(trace)
    found.follow()
    return found


def test_what_the_trace_does_not_name_is_missing(trace: Path) -> None:
    found = fates(trace, line("a", 0, "scored"), line("a", 2, "scored"))

    assert found.missing({"a": {0, 1, 2}, "b": {0}}) == [("a", 1), ("b", 0)]


def test_right_counts_with_wrong_sequences_do_not_hide_a_loss(trace: Path) -> None:
    found = fates(trace, line("a", 0, "scored"), line("a", 7, "scored"))

    assert found.missing({"a": {0, 1}}) == [("a", 1)]


def test_a_sequence_of_another_device_accounts_for_nothing(trace: Path) -> None:
    assert fates(trace, line("b", 0, "scored")).missing({"a": {0}}) == [("a", 0)]


def test_a_duplicate_is_accounted_for_and_not_scored(trace: Path) -> None:
    found = fates(trace, line("a", 0, "scored"), line("a", 0, "duplicate"), line("a", 1, "duplicate"))

    assert found.missing({"a": {0, 1}}) == []
    assert (found.count, found.scored_twice) == (1, [])


def test_a_sequence_scored_twice_is_named(trace: Path) -> None:
    found = fates(trace, line("a", 0, "scored"), line("a", 0, "scored"))

    assert (found.count, found.scored_twice) == (1, [("a", 0)])


def test_a_dead_letter_accounts_for_no_sequence(trace: Path) -> None:
    found = fates(trace, line("plant/pump/a", None, "dead_letter"))

    assert found.dead_letters == 1
    assert found.missing({"a": {0}}) == [("a", 0)]


def test_a_line_still_being_written_is_read_when_it_is_whole(trace: Path) -> None:
    whole = line("a", 1, "scored")
    found = fates(trace, line("a", 0, "scored"), whole[:20])
    assert found.count == 1

    with trace.open("a") as file:
        file.write(whole[20:])
    found.follow()

    assert found.missing({"a": {0, 1}}) == []
