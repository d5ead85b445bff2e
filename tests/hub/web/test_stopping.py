"""A hub that is told to stop finishes what it is answering, and lets nobody wait for nothing."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import time

from tests.hub.conftest import HubProcess
from tests.hub.gateway import wait_for


def test_a_request_in_flight_gets_its_answer_and_a_new_one_is_refused(hub_process: HubProcess) -> None:
    hub_process.start()
    token = (hub_process.state_dir / "api-token").read_text().strip()
    # Half a body: the request is being answered until the other half comes.
    body = json.dumps({"jobs": 77}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", hub_process.port, timeout=60)
    connection.putrequest("PUT", "/api/v1/retention")
    for name, value in (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")):
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:5])
    wait_for(lambda: in_flight(hub_process.port, token), "the request is being answered")
    hub_process._process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]  # it runs
    wait_for(lambda: refuses(hub_process.port), "new connections are refused")
    connection.send(body[5:])
    answer = connection.getresponse()
    limits = json.load(answer)["limits"]
    assert answer.status == 200
    assert hub_process.stop() == 0
    assert next(one for one in limits if one["name"] == "jobs")["limit"] == 77
    kept = sqlite3.connect(hub_process.state_dir / "hub.db")
    assert kept.execute("SELECT value FROM retention_limits WHERE name = 'jobs'").fetchone() == (77,)
    kept.close()
    assert "Traceback" not in hub_process.log.read_text()


def in_flight(port: int, token: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
    text = connection.getresponse().read().decode()
    connection.close()
    return "vedette_hub_http_requests_in_flight 2.0" in text


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    time.sleep(0.02)
    return False
