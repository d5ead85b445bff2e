from __future__ import annotations

from vedette_hub.live.watches import RENEW_SECONDS, SILENT_SECONDS, Watches

A, B, C = ("gw", "a"), ("gw", "b"), ("gw", "c")


def test_a_gateway_is_asked_at_once_and_then_again_and_again_while_somebody_looks() -> None:
    watches = Watches(10, 8)
    assert watches.add(A, 100.0, socket=1) == "asked"
    assert watches.due(100.0) == [A]
    assert watches.due(100.0 + RENEW_SECONDS - 1) == []
    assert watches.due(100.0 + RENEW_SECONDS) == [A]
    watches.leave(1)
    assert watches.due(100.0 + 5 * RENEW_SECONDS) == []
    assert len(watches) == 0


def test_two_who_look_at_the_same_device_are_one_request() -> None:
    watches = Watches(10, 8)
    watches.add(A, 0.0, socket=1)
    watches.due(0.0)
    watches.add(A, 1.0, socket=2)
    assert watches.due(1.0) == []
    assert watches.sockets(A) == {1, 2}
    watches.leave(1)
    assert watches.due(RENEW_SECONDS) == [A]
    assert watches.remove(A, 2)
    assert not watches.remove(A, 2)


def test_devices_are_bounded_in_all_and_for_each_socket() -> None:
    watches = Watches(2, 1)
    assert watches.add(A, 0.0, socket=1) == "asked"
    assert watches.add(B, 0.0, socket=1) == "refused"
    assert watches.add(A, 0.0, socket=1) == "asked"
    assert watches.add(B, 0.0, socket=2) == "asked"
    assert watches.add(C, 0.0, socket=3) == "refused"
    watches.leave(2)
    assert watches.add(C, 1.0, socket=3) == "asked"


def test_without_a_socket_it_is_looked_at_for_so_many_seconds() -> None:
    watches = Watches(1, 8)
    watches.add(A, 0.0, seconds=15.0)
    assert watches.due(0.0) == [A]
    assert watches.due(10.0) == [A]
    assert watches.due(20.0) == []
    assert watches.add(B, 20.0, seconds=1.0) == "asked"
    assert watches.add(A, 22.0, seconds=1.0) == "asked"


def test_what_a_gateway_says_is_news_once_and_its_silence_too() -> None:
    watches = Watches(10, 8)
    watches.add(A, 0.0, socket=1)
    assert watches.fallen_silent(SILENT_SECONDS) == []
    assert watches.fallen_silent(SILENT_SECONDS + 1) == [A]
    assert watches.fallen_silent(SILENT_SECONDS + 2) == []
    assert watches.heard(A, "streaming", 20.0)
    assert not watches.heard(A, "streaming", 21.0)
    assert not watches.heard(B, "streaming", 21.0)
    assert watches.add(A, 22.0, socket=2) == "streaming"
    assert watches.fallen_silent(21.0 + SILENT_SECONDS + 1) == [A]
