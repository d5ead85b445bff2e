"""The ledger says of every sequence number whether it has been dealt with, in whatever order they come."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_hub.fleet.ledger import Ledger, LedgerFullError

pieces = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=40
)


def numbers(ledger: Ledger) -> set[int]:
    return set(range(1, ledger.through + 1)) | {n for first, last in ledger.ranges for n in range(first, last + 1)}


@settings(derandomize=True, max_examples=300, deadline=None)
@given(pieces)
def test_it_holds_exactly_what_was_added_in_any_order(added: list[tuple[int, int]]) -> None:
    ledger, model = Ledger(), set[int]()
    for first, last in added:
        new = set(range(first, last + 1)) - model
        assert ledger.add(first, last) == len(new)
        model |= new
        assert numbers(ledger) == model
        assert [n in ledger for n in range(1, 80)] == [n in model for n in range(1, 80)]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(pieces)
def test_the_watermark_is_the_highest_number_without_a_gap_below(added: list[tuple[int, int]]) -> None:
    ledger = Ledger()
    for first, last in added:
        ledger.add(first, last)
    present = numbers(ledger)
    assert ledger.through == next(n for n in range(200) if n + 1 not in present)
    edges = [ledger.through, *(edge for piece in ledger.ranges for edge in piece)]
    assert all(first > before + 1 for before, first in zip(edges[::2], edges[1::2], strict=False))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(pieces, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(added: list[tuple[int, int]], random: object) -> None:
    shuffled = added + added[:5]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = Ledger(), Ledger()
    for first, last in added:
        one.add(first, last)
    for first, last in shuffled:
        other.add(first, last)
    assert (one.through, one.ranges) == (other.through, other.ranges)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(pieces, st.sets(st.integers(1, 70)), st.integers(0, 30))
def test_a_receipt_names_only_what_is_there_and_what_was_asked_for_first(
    added: list[tuple[int, int]], wanted: set[int], limit: int
) -> None:
    ledger = Ledger()
    for first, last in added:
        ledger.add(first, last)
    named = ledger.above(limit, wanted)
    assert len(named) <= limit
    assert all(n in ledger and n > ledger.through for n in named)
    assert list(named) == sorted(set(named))
    asked = {n for n in wanted if n in ledger and n > ledger.through}
    assert asked <= set(named) or len(named) == limit


def test_a_declared_loss_lets_the_watermark_pass() -> None:
    ledger = Ledger()
    ledger.add(1)
    ledger.add(5)
    assert ledger.through == 1
    assert ledger.add(2, 4) == 3
    assert (ledger.through, ledger.ranges) == (5, ())


def test_a_huge_loss_costs_nothing() -> None:
    ledger = Ledger()
    assert ledger.add(10, 10**15) == 10**15 - 9
    assert ledger.ranges == ((10, 10**15),)


def test_beyond_its_bound_it_refuses_a_new_gap_and_stays_as_it_was() -> None:
    ledger = Ledger(max_ranges=2)
    ledger.add(3)
    ledger.add(6)
    with pytest.raises(LedgerFullError):
        ledger.add(9)
    assert ledger.ranges == ((3, 3), (6, 6))
    ledger.add(7)
    ledger.add(1, 2)
    ledger.add(9)
    assert (ledger.through, ledger.ranges) == (3, ((6, 7), (9, 9)))


@pytest.mark.parametrize(("first", "last"), [(0, 0), (-1, 3), (5, 4)])
def test_impossible_ranges_are_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="sequence numbers"):
        Ledger().add(first, last)
