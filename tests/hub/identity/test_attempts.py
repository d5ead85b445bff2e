"""What counts failures stays bounded, and correct when threads share it."""

from __future__ import annotations

import threading

import pytest
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from vedette_hub.identity import bounded_memory
from vedette_hub.identity.attempts import Attempts, network
from vedette_hub.identity.bounded_memory import BoundedMemory


def test_keys_are_bounded_and_the_ones_over_soonest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_memory, "MOST_KEYS", 50)
    memory = BoundedMemory()
    for number in range(1_000):
        memory.incr(f"key {number}", 60.0 + number)
        assert len(memory.storage) <= 50
    assert memory.get("key 999") == 1
    assert memory.get("key 0") == 0
    assert len(memory.expirations) <= 50
    assert len(memory.locks) <= 50


def test_threads_that_count_together_lose_nothing() -> None:
    memory = BoundedMemory()
    limiter = FixedWindowRateLimiter(memory)
    item = RateLimitItemPerMinute(1_000)
    passed: list[bool] = []

    def hit() -> None:
        passed.extend(limiter.hit(item, "one") for _ in range(500))

    threads = [threading.Thread(target=hit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passed.count(True) == 1_000


def test_a_name_and_an_address_are_counted_apart() -> None:
    attempts = Attempts(2)
    attempts.failed("ana", "192.0.2.1")
    attempts.failed("ben", "192.0.2.1")
    assert attempts.wait("eve", "192.0.2.1") > 0
    assert attempts.wait("ana", "192.0.2.2") == 0
    attempts.failed("ana", "192.0.2.2")
    assert attempts.wait("ana", "192.0.2.3") > 0
    attempts.succeeded("ana")
    assert attempts.wait("ana", "192.0.2.3") == 0
    assert attempts.wait("ana", "192.0.2.1") > 0


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_what_counts_as_one_address(address: str, expected: str) -> None:
    assert network(address) == expected
