"""Messages go where they may, and nowhere else: attacks by address, by name and by a second answer."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.hub.notify.receivers import http_receiver
from vedette_hub.notify.addresses import AddressPolicy, connect
from vedette_hub.notify.errors import DeliveryError, RefusedAddressError

LOOPBACK = AddressPolicy.of(["127.0.0.0/8"], allow_http=True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "169.254.170.2", "192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
        "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::1", "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_what_is_not_the_public_internet_is_refused(address: str) -> None:
    assert not AddressPolicy().allows(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_the_public_internet_is_allowed(address: str) -> None:
    assert AddressPolicy().allows(address)


def test_a_network_that_is_allowed_is_no_other_one() -> None:
    policy = AddressPolicy.of(["10.1.0.0/16", "fd00::/8"], allow_http=False)
    assert policy.allows("10.1.2.3")
    assert policy.allows("::ffff:10.1.2.3")
    assert policy.allows("fd12::1")
    assert not policy.allows("10.2.0.1")
    assert not policy.allows("169.254.169.254")


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0", "::1", "ip6-localhost"]
)
def test_however_it_is_written_this_machine_is_not_reached(host: str) -> None:
    with http_receiver() as receiver:
        with pytest.raises(DeliveryError):
            connect(host, receiver.port, AddressPolicy(), 5.0)
        assert receiver.requests == []


def _answers(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names resolved to these addresses, one list after the other; the names that were asked for."""
    asked: list[str] = []
    left = list(answers)

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as receiver:
        asked = _answers(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
        with connect("rebinding.example", receiver.port, LOOPBACK, 5.0) as made:
            assert made.getpeername() == ("127.0.0.1", receiver.port)
    assert asked == ["rebinding.example"]


def test_a_name_that_stands_for_a_private_address_too_is_refused_before_anything_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with http_receiver() as receiver:
        _answers(monkeypatch, ["127.0.0.1", "169.254.169.254"])
        with pytest.raises(RefusedAddressError, match=r"169\.254\.169\.254.*notify\.allow_networks"):
            connect("both.example", receiver.port, LOOPBACK, 5.0)


def test_the_second_address_is_tried_when_nothing_answers_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as receiver:
        _answers(monkeypatch, ["127.0.0.2", "127.0.0.1"])
        with connect("two.example", receiver.port, LOOPBACK, 5.0) as made:
            assert made.getpeername()[0] == "127.0.0.1"


def test_what_cannot_be_resolved_or_does_not_answer_is_said() -> None:
    with pytest.raises(DeliveryError, match="cannot be resolved"):
        connect("nowhere.invalid", 443, AddressPolicy(), 5.0)
    with pytest.raises(DeliveryError, match="cannot be resolved"):
        connect("a" * 300, 443, AddressPolicy(), 5.0)
    with pytest.raises(DeliveryError, match="refused"):
        connect("127.0.0.1", 1, LOOPBACK, 5.0)
