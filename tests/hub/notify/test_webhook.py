"""A webhook gets what was signed, once, and nobody is led elsewhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import threading
from typing import Any

import pytest

from tests.hub.notify.receivers import http_receiver
from vedette_hub.notify import webhook
from vedette_hub.notify.addresses import AddressPolicy
from vedette_hub.notify.errors import DeliveryError, RefusedAddressError
from vedette_hub.notify.kinds import WebhookSettings

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
LOOPBACK = AddressPolicy.of(["127.0.0.1/32"], allow_http=True)
MESSAGE = {"type": "alert.opened", "data": {"reason": "schräg"}}


def send(url: str, *, policy: AddressPolicy = LOOPBACK, timeout: float = 45.0) -> str:
    settings = WebhookSettings(url=url, secret=SECRET)
    return webhook.send(settings, "msg_1", MESSAGE, now=1_700_000_000.5, policy=policy, timeout=timeout)


def test_what_comes_can_be_checked_with_the_secret_alone() -> None:
    with http_receiver() as receiver:
        assert send(receiver.url("/a/b?c=d")) == "answered 200"
        (request,) = receiver.requests
    assert (request.path, request.json) == ("/a/b?c=d", MESSAGE)
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    wanted = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{wanted}"
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["webhook-timestamp"] == "1700000000"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_not_followed(status: int) -> None:
    with http_receiver() as receiver, http_receiver() as other:
        receiver.answers = [(status, {"Location": other.url("/latest/meta-data")})]
        with pytest.raises(DeliveryError, match="a redirect, which is not followed") as caught:
            send(receiver.url())
        assert not caught.value.permanent
        assert other.requests == []


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, True), (401, False), (404, False), (410, True), (422, True), (429, False), (500, False)],
)
def test_some_answers_are_final_and_others_are_tried_again(status: int, permanent: bool) -> None:
    with http_receiver() as receiver:
        receiver.answers = [(status, {"Retry-After": "120"})]
        with pytest.raises(DeliveryError, match=f"answered {status}: ok") as caught:
            send(receiver.url())
    assert caught.value.permanent == permanent
    assert caught.value.retry_after == (120.0 if status == 429 else None)


def test_neither_a_private_address_nor_plain_http_is_used_unless_allowed() -> None:
    with http_receiver() as receiver:
        with pytest.raises(RefusedAddressError, match=r"notify\.allow_networks"):
            send(receiver.url(), policy=AddressPolicy(allow_http=True))
        with pytest.raises(DeliveryError, match=r"notify\.allow_http"):
            send(receiver.url(), policy=AddressPolicy.of(["127.0.0.1/32"], allow_http=False))
        assert receiver.requests == []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as receiver, http_receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        send(receiver.url())
        assert (len(receiver.requests), proxy.requests) == (1, [])


def _dribbling(connection: socket.socket, stop: threading.Event) -> None:
    with connection:
        connection.recv(65_536)
        try:
            while not stop.wait(0.05):
                connection.sendall(b"H")
        except OSError:
            pass


def test_a_receiver_that_dribbles_for_ever_is_cut_off() -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            made: Any = server.accept()
            _dribbling(made[0], stop)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            with pytest.raises(DeliveryError):
                send(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=1.0)
        finally:
            stop.set()
            thread.join()


def test_a_port_that_does_not_speak_tls_is_a_failure_in_words() -> None:
    with http_receiver() as receiver, pytest.raises(DeliveryError, match=r"127\.0\.0\.1"):
        send(f"https://127.0.0.1:{receiver.port}/")
