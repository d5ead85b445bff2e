"""Other services through Apprise: what Slack-shaped receivers get, and what no plug-in may reach."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import alert
from tests.hub.notify.receivers import http_receiver
from vedette_hub.alerts.lifecycle import AlertRecord
from vedette_hub.notify.apprise_process import Guard, RefusedError
from vedette_hub.notify.apprise_service import AppriseService
from vedette_hub.notify.errors import DeliveryError
from vedette_hub.notify.kinds import AppriseSettings
from vedette_hub.notify.message import compose

MESSAGE = compose(AlertRecord(alert(7)), "opened", 1_700_000_100.0)


@pytest.fixture(scope="module")
def local() -> Iterator[AppriseService]:
    """May reach 127.0.0.1, and nothing else of this machine."""
    service = AppriseService(["127.0.0.1/32"], allow_http=True, timeout=45.0)
    yield service
    service.end_idle(0.0)


@pytest.fixture(scope="module")
def strict() -> Iterator[AppriseService]:
    """As it is by default."""
    service = AppriseService([], allow_http=False, timeout=45.0)
    yield service
    service.end_idle(0.0)


def send(service: AppriseService, url: str, message: dict[str, Any] = MESSAGE) -> str:
    return service.send(AppriseSettings(url=url), message)


def test_a_slack_shaped_receiver_gets_title_and_text(local: AppriseService) -> None:
    with http_receiver() as receiver:
        assert send(local, f"mmost://127.0.0.1:{receiver.port}/{'t' * 24}") == "taken by the service"
        (request,) = receiver.requests
    assert request.path == f"/hooks/{'t' * 24}"
    assert request.json["username"] == "Vedette"
    assert "http" not in request.json["text"]
    assert "[medium] pump-7: anomaly" in request.json["text"]
    assert "vibration 4.1 mm/s" in request.json["text"]


def test_a_refusal_of_the_service_is_a_failure_and_the_next_message_goes_through(local: AppriseService) -> None:
    with http_receiver() as receiver:
        receiver.answers = [(500, {})]
        with pytest.raises(DeliveryError, match="json://…: Failed to send JSON") as caught:
            send(local, f"json://127.0.0.1:{receiver.port}/")
        assert not caught.value.permanent
        send(local, f"json://127.0.0.1:{receiver.port}/")
        assert len(receiver.requests) == 2


def test_a_redirect_to_an_address_that_is_not_allowed_leads_nowhere(local: AppriseService) -> None:
    with http_receiver() as receiver, socket.create_server(("127.0.0.2", 0)) as inside:
        inside.settimeout(0.2)
        receiver.answers = [(307, {"Location": f"http://127.0.0.2:{inside.getsockname()[1]}/latest/meta-data"})]
        with pytest.raises(DeliveryError, match=r"127\.0\.0\.2: not an address of the public internet"):
            send(local, f"json://127.0.0.1:{receiver.port}/?redirect=yes")
        with pytest.raises(TimeoutError):
            inside.accept()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "2130706433"])
def test_private_addresses_are_refused(strict: AppriseService, host: str) -> None:
    with pytest.raises(DeliveryError, match=r"not an address of the public internet|Failed|Connection error"):
        send(strict, f"jsons://{host}:9/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("json://hooks.example/", "not encrypted"),
        ("syslog://", "not encrypted"),
        ("jsons://hooks.example/?verify=no", "turns off the check of certificates"),
        ("nonsense://x", "does not understand"),
        ("slack://", "does not understand"),
    ],
)
def test_what_is_local_unencrypted_or_nonsense_is_given_up_at_once(strict: AppriseService, url: str, why: str) -> None:
    with pytest.raises(DeliveryError, match=why) as caught:
        send(strict, url)
    assert caught.value.permanent


def test_a_service_that_does_not_answer_is_ended_and_the_next_message_gets_a_new_process() -> None:
    service = AppriseService(["127.0.0.1/32"], allow_http=True, timeout=45.0)
    with http_receiver() as receiver:
        url = f"json://127.0.0.1:{receiver.port}/"
        send(service, url)
        service._timeout = 0.5
        receiver.gate.clear()
        with pytest.raises(DeliveryError, match="no answer in time"):
            send(service, url)
        receiver.gate.set()
        service._timeout = 45.0
        send(service, url)
        assert len(receiver.requests) == 3
    service.end_idle(0.0)


def test_the_guard_refuses_names_local_sockets_and_programs() -> None:
    guard = Guard()
    with socket.socket(socket.AF_UNIX) as local, socket.socket() as internet:
        for event, arguments in (
            ("socket.connect", (local, "/run/docker.sock")),
            ("socket.connect", (internet, ("metadata.internal", 80))),
            ("socket.connect", (internet, ("169.254.169.254", 80))),
            ("socket.sendto", (internet, ("127.0.0.1", 53))),
            ("subprocess.Popen", ("/bin/sh", [], None, None)),
            ("os.system", (b"true",)),
        ):
            with pytest.raises(RefusedError):
                guard(event, arguments)
            assert guard.refused
        guard("socket.connect", (internet, ("8.8.8.8", 443)))
        guard("open", ("file", "r", 0))


def test_nothing_of_the_environment_is_passed_on_but_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, local: AppriseService
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("VEDETTE_HUB_SECRET", "x")
    service = AppriseService(["127.0.0.1/32"], allow_http=True, timeout=45.0)
    with http_receiver() as receiver:
        send(service, f"json://127.0.0.1:{receiver.port}/")
        assert len(receiver.requests) == 1
        (process,) = service._idle
        found = Path(f"/proc/{process._child.pid}/environ").read_bytes()
    names = {entry.split(b"=")[0].decode() for entry in found.split(b"\0") if entry}
    service.end_idle(0.0)
    assert "PATH" in names or "PATH" not in os.environ
    assert not {name for name in names if "PROXY" in name.upper() or name.startswith("VEDETTE")}
