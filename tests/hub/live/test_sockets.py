"""/ws by real clients at the real web server."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.hub import people
from tests.hub.gateway import alert, wait_for
from tests.hub.live.web_server import WebServer
from vedette_hub.store import tokens
from vedette_hub.store.database import writing


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    made = WebServer(tmp_path_factory.mktemp("hub"), live={"sockets": 40, "queue": 100})
    yield made
    made.close()


def test_a_client_is_told_of_alerts_as_they_come_and_change(hub: WebServer) -> None:
    with hub.ear() as ear:
        ear.say("subscribe", channels=["alerts"])
        begun = ear.hear("subscribed")
        assert begun["channels"] == ["alerts"]
        hub.ingest(alert(1))
        raised = ear.hear("alert")
        hub.ingest(alert(1, revision=2, severity="critical"))
        worse = ear.hear("alert")

    assert (raised["alert"]["id"], raised["alert"]["severity"]) == ("a-1", "medium")
    assert worse["alert"]["severity"] == "critical"
    assert begun["change"] < raised["change"] < worse["change"]
    assert raised["alert"].keys() >= {"gateway", "device", "state", "acknowledged", "reason", "score"}


def test_a_severity_channel_has_that_severity_only_and_an_alert_comes_once(hub: WebServer) -> None:
    with hub.ear() as ear:
        ear.say("subscribe", channels=["severity:critical", "severity:high"])
        ear.hear("subscribed")
        ear.say("subscribe", channels=["alerts"])
        assert ear.hear("subscribed")["channels"] == ["alerts", "severity:critical", "severity:high"]
        ear.say("unsubscribe", channels=["alerts"])
        assert ear.hear("subscribed")["channels"] == ["severity:critical", "severity:high"]
        hub.ingest(alert(11, severity="low"), alert(12, severity="critical"), alert(13, severity="medium"))
        hub.ingest(alert(14, severity="high"))

        assert ear.hear("alert")["alert"]["id"] == "a-12"
        assert ear.hear("alert")["alert"]["id"] == "a-14"
        ear.say("ping")
        ear.hear("pong")


def test_who_comes_back_is_told_what_changed_meanwhile(hub: WebServer) -> None:
    with hub.ear() as ear:
        ear.say("subscribe", channels=["alerts"])
        seen = ear.hear("subscribed")["change"]
    hub.ingest(alert(21), alert(22))
    with hub.ear() as ear:
        ear.say("subscribe", channels=["alerts"], after=seen)
        ear.hear("subscribed")
        assert [ear.hear("alert")["alert"]["id"] for _ in range(2)] == ["a-21", "a-22"]


def test_who_was_away_for_too_long_is_told_how_much_they_missed(hub: WebServer) -> None:
    hub.ingest(*(alert(1_000 + number) for number in range(300)))
    with hub.ear() as ear:
        ear.say("subscribe", channels=["alerts"], after=0)
        change = ear.hear("subscribed")["change"]
        assert ear.hear("missed") == {"count": change}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "JSON is malformed"),
        ("[1]", "Expected `object`"),
        ('{"data":{}}', "missing required field `type`"),
        ('{"type":"dance","data":{}}', "'dance'"),
        ('{"type":"subscribe","data":{"channels":["alarms"]}}', "there is no channel 'alarms'; there are alerts"),
        ('{"type":"subscribe","data":{"channels":[]}}', "$.data.channels"),
        ('{"type":"subscribe","data":{"channels":"alerts"}}', "$.data.channels"),
        ('{"type":"subscribe","data":{"channels":["alerts"],"befor":1}}', "unknown field `befor`"),
        ('{"type":"subscribe","data":{"channels":["alerts"],"after":-1}}', "$.data.after"),
        ('{"type":"watch","data":{"gateway":"","device":"pump-1"}}', "$.data.gateway"),
        ("[" * 10_000, "Expected `object`"),
    ],
)
def test_what_cannot_be_followed_is_answered_by_name_and_the_socket_goes_on(
    hub: WebServer, text: str, words: str
) -> None:
    with hub.ear() as ear:
        ear.socket.send(text)
        assert words in ear.hear("error")["message"]
        ear.say("ping")
        ear.hear("pong")


def test_a_token_may_be_the_first_message(hub: WebServer) -> None:
    with hub.ear(token=None) as ear:
        ear.say("authenticate", token=hub.token)
        assert ear.hear("authenticated")["role"] == "admin"
        ear.say("subscribe", channels=["scores"])
        assert ear.hear("subscribed") == {"channels": ["scores"], "change": None}


def test_what_is_said_without_waiting_for_answers_is_followed_in_order(hub: WebServer) -> None:
    with hub.ear(token=None) as ear:
        ear.say("authenticate", token=hub.token)
        ear.say("subscribe", channels=["alerts", "scores"])
        ear.say("unsubscribe", channels=["alerts"])
        ear.say("ping")
        kinds = [ear.hear() for _ in range(4)]
    assert [one["type"] for one in kinds] == ["authenticated", "subscribed", "subscribed", "pong"]
    assert kinds[2]["data"]["channels"] == ["scores"]


def test_nothing_is_told_to_who_is_not_signed_in(hub: WebServer) -> None:
    with hub.ear(token=None) as ear:
        ear.say("subscribe", channels=["alerts"])
        assert ear.end()[0] == 4401
    with hub.ear(token=None) as ear:
        ear.say("authenticate", token="vdt_nonsense")
        assert ear.end() == (4401, "this token is worth nothing")
    with pytest.raises(InvalidStatus) as refused, hub.ear(token="vdt_nonsense"):
        pass
    assert refused.value.response.status_code == 401


def test_a_token_that_may_not_read_is_refused(hub: WebServer) -> None:
    narrow = people.make_token(hub.engine, "scrapes", "viewer", "metrics")
    with hub.ear(token=None) as ear:
        ear.say("authenticate", token=narrow)
        code, why = ear.end()
    assert code == 4403
    assert "scope read" in why


def test_a_page_of_another_site_gets_no_socket(hub: WebServer) -> None:
    with pytest.raises(InvalidStatus) as refused, hub.ear(origin="https://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    with hub.ear(origin=f"http://127.0.0.1:{hub.port}") as ear:
        ear.say("ping")
        ear.hear("pong")


def test_a_request_that_is_no_upgrade_is_answered_as_one(hub: WebServer) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{hub.port}/ws", headers={"Authorization": f"Bearer {hub.token}"}
    )
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request, timeout=30)
    assert answer.value.code == 426
    assert json.load(answer.value)["error"]["message"].startswith("This address speaks WebSocket")


def test_pages_answer_while_all_sockets_are_taken_and_one_more_is_told_to_come_later(hub: WebServer) -> None:
    others = people.make_token(hub.engine, "others", "viewer")
    with ExitStack() as stack:
        for token in (hub.token, others):
            for _ in range(20):
                stack.enter_context(hub.ear(token=token))
        with pytest.raises(InvalidStatus) as refused, hub.ear(token=others):
            pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "5"
        with urllib.request.urlopen(f"http://127.0.0.1:{hub.port}/login", timeout=30) as page:
            assert page.status == 200
    wait_for(lambda: _gets_in(hub, others), "who has left makes room")


def _gets_in(hub: WebServer, token: str) -> bool:
    try:
        with hub.ear(token=token):
            return True
    except InvalidStatus:
        return False


def test_a_binary_message_ends_the_socket(hub: WebServer) -> None:
    with hub.ear() as ear:
        ear.socket.send(b"\x00\x01")
        assert ear.end()[0] == 1003


def test_a_message_that_is_too_large_ends_the_socket(hub: WebServer) -> None:
    with hub.ear() as ear:
        ear.socket.send("x" * 100_000)
        assert ear.end()[0] == 1009


def test_what_speaks_no_websocket_after_the_upgrade_harms_nobody(hub: WebServer) -> None:
    with hub.ear() as ear, socket.create_connection(("127.0.0.1", hub.port), 30) as raw:
        raw.sendall(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Authorization: Bearer " + hub.token.encode() + b"\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 101")
        raw.sendall(bytes(range(256)) * 4)
        while raw.recv(4096):
            pass
        ear.say("ping")
        ear.hear("pong")


def test_who_reads_too_slowly_is_told_how_much_they_missed(hub: WebServer) -> None:
    long = "usually 1.2 to 2.0, " * 400
    with hub.ear(max_queue=1, ping_interval=None) as slow, hub.ear() as quick:
        for ear in (slow, quick):
            ear.say("subscribe", channels=["alerts"])
            ear.hear("subscribed")
        sent = 2_000
        for start in range(0, sent, 20):
            hub.ingest(*(alert(number, gateway="gw-slow", reason=long) for number in range(start, start + 20)))
            heard = [quick.hear("alert")["alert"]["id"] for _ in range(20)]
            assert heard == [f"a-{number}" for number in range(start, start + 20)]
        told = _all_told(slow, sent)

    assert told[0] == 0
    assert told == sorted(told)
    assert len(told) < sent


def _all_told(ear: Any, sent: int) -> list[int]:
    """The numbers of the alerts that a client is told of, until all are accounted for, told or missed."""
    numbers: list[int] = []
    missed = 0
    while len(numbers) + missed < sent:
        message = ear.hear()
        if message["type"] == "missed":
            missed += message["data"]["count"]
        else:
            numbers.append(int(message["data"]["alert"]["id"].removeprefix("a-")))
    assert len(numbers) + missed == sent
    return numbers


def test_a_stopping_hub_says_goodbye(tmp_path: Any) -> None:
    hub = WebServer(tmp_path)
    try:
        with hub.ear() as ear:
            ear.say("ping")
            ear.hear("pong")
            stopping = threading.Thread(target=hub.stop)
            stopping.start()
            assert ear.end() == (1001, "the hub stops")
            stopping.join(30)
    finally:
        hub.close()


def test_a_token_that_is_revoked_ends_its_sockets(hub: WebServer) -> None:
    secret = people.make_token(hub.engine, "leaves", "viewer")
    with hub.ear(token=secret) as ear:
        ear.say("ping")
        ear.hear("pong")
        with writing(hub.engine) as connection:
            tokens.revoke_token(connection, "leaves", 1.0)
        assert ear.end() == (4401, "the session or token has ended")
