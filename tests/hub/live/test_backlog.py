from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vedette_hub.live.backlog import MAX_BYTES, Backlog
from vedette_hub.live.frames import frame


def test_frames_are_taken_in_order_and_once() -> None:
    backlog = Backlog(10)
    for text in (b"a", b"b", b"c"):
        backlog.add(text)
    assert backlog.take() == b"abc"
    assert not backlog
    assert backlog.take() == b""


def test_what_there_is_no_room_for_is_told_where_it_is_missing() -> None:
    backlog = Backlog(2)
    for text in (b"a", b"b", b"c", b"d"):
        backlog.add(text)
    assert backlog.take() == b"ab" + frame("missed", {"count": 2})
    backlog.add(b"e")
    assert backlog.take() == b"e"
    assert backlog.missed_in_all == 2


def test_nothing_is_told_behind_a_gap_before_the_gap_is() -> None:
    backlog = Backlog(10)
    backlog.add(b"x" * (MAX_BYTES - 1))
    backlog.add(b"too long")
    backlog.add(b"y")
    assert backlog.take() == b"x" * (MAX_BYTES - 1) + frame("missed", {"count": 2})


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 20))
def test_every_message_is_told_or_counted(adds: list[bool], limit: int) -> None:
    backlog = Backlog(limit)
    told = added = 0
    for add in [*adds, False]:
        if add:
            backlog.add(b"m")
            added += 1
        else:
            told += backlog.take().split(b"\x81")[0].count(b"m")
    assert told + backlog.missed_in_all == added
