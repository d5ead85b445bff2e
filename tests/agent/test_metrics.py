"""What the agent counts can be scraped on this machine, says what the status says, and costs the agent nothing."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.agent.agent_process import agent, configure
from tests.brokers import Mosquitto, free_port
from vedette_agent.metrics import Process, text
from vedette_models.messages import AlertRate, Counters, RunningModel, Status

NASTY = 'pump "7"\\\nup 1'


def scraped(body: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Samples by name and labels, as Prometheus reads them."""
    parser = pytest.importorskip("prometheus_client.parser", reason="the extra hub is not installed")
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in parser.text_string_to_metric_families(body)
        for one in family.samples
    }


def full() -> Status:
    return Status(
        "gw",
        online=True,
        version="1.2",
        started=5.0,
        ingest="stalled",
        hub="connected",
        outbox_rows=7,
        outbox_hours=1.5,
        counters=Counters(received=3, dead_letters=2, dead_by_reason={"no_json": 2, NASTY: 1}),
        models={NASTY: RunningModel(4, "ab" * 32, "lof", on_probation=True)},
        alert_rates={"pump": AlertRate(0.5, 2, 4.0), "fixed": AlertRate(None, 1, 2.0)},
        problems=("something", "else"),
    )


def test_a_status_becomes_metrics_and_hostile_names_stay_labels() -> None:
    found = scraped(text(full(), Process(1.5, 4096)))
    none: frozenset[tuple[str, str]] = frozenset()
    assert found["vedette_agent_build_info", frozenset({("gateway", "gw"), ("version", "1.2")})] == 1
    assert found["vedette_agent_messages_received_total", none] == 3
    assert found["vedette_agent_dead_letters_total", frozenset({("reason", NASTY)})] == 1
    assert found["vedette_agent_ingest", frozenset({("state", "stalled")})] == 1
    assert found["vedette_agent_ingest", frozenset({("state", "receiving")})] == 0
    assert found["vedette_agent_outbox_hours_left", none] == 1.5
    assert found["vedette_agent_model_on_probation", frozenset({("profile", NASTY)})] == 1
    assert found["vedette_agent_alert_budget", frozenset({("profile", "pump")})] == 0.5
    assert ("vedette_agent_alert_budget", frozenset({("profile", "fixed")})) not in found
    assert found["vedette_agent_problems", none] == 2
    assert found["process_resident_memory_bytes", none] == 4096
    assert ("up", none) not in found


def test_what_is_not_known_is_left_out() -> None:
    said = text(Status("gw", online=True, hub="none"), Process(0.0, 0))
    assert "hub_connected" not in said
    assert "outbox_oldest" not in said
    assert "vedette_agent_model_version" not in said
    assert all(line.startswith("#") or len(line.rsplit(" ", 1)) == 2 for line in said.splitlines())


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": f"{host}:{port}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        found = b""
        while chunk := client.recv(65_536):
            found += chunk
    return found


def with_metrics(folder: Path, broker: Mosquitto, port: int) -> Path:
    config = configure(folder, broker.url)
    config.write_text(config.read_text() + f"[metrics]\nport = {port}\n")
    return config


def test_a_running_agent_answers_on_loopback_and_refuses_what_is_no_question(tmp_path: Path, broker: Mosquitto) -> None:
    port = free_port()
    with agent(with_metrics(tmp_path / "gw", broker, port)) as running:
        running.receiving()
        running.until(lambda: get(port, "/ready")[0] == 200, "ready")
        code, body = get(port, "/metrics")
        assert code == 200
        assert 'vedette_agent_build_info{gateway="gw",version=' in body
        assert 'vedette_agent_ingest{state="disconnected"} 0.0' in body
        code, body = get(port, "/health")
        health: dict[str, Any] = json.loads(body)
        assert (code, health["status"] in ("ok", "degraded")) == (200, True)
        assert get(port, "/elsewhere")[0] == 404
        assert get(port, "/metrics", host="evil.example.org")[0] == 403
        assert raw(port, b"POST /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 405 ")
        assert raw(port, b"garbage\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert raw(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
        head = raw(port, b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert head.endswith(b"\r\n\r\n")
        idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(20)]
        assert get(port, "/metrics")[0] == 503  # too many at once, and none of them for ever
        for client in idle:
            client.close()
        running.until(lambda: get(port, "/metrics")[0] == 200, "it answers again")
        assert running.stop() == 0
        assert "Traceback" not in running.log


def test_a_port_that_is_taken_is_a_problem_and_no_reason_to_stop(tmp_path: Path, broker: Mosquitto) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with agent(with_metrics(tmp_path / "gw", broker, port)) as running:
            running.until(
                lambda: any(f"port {port}" in said for said in running.status().get("problems", [])), "said so"
            )
            running.receiving()


def test_without_a_port_nothing_listens(tmp_path: Path, broker: Mosquitto) -> None:
    with agent(configure(tmp_path / "gw", broker.url)) as running:
        running.receiving()
        sockets = (Path("/proc") / str(running.process.pid) / "net" / "tcp").read_text()
        inodes = {str(file.readlink()) for file in (Path("/proc") / str(running.process.pid) / "fd").iterdir()}
        listening = [line.split() for line in sockets.splitlines()[1:] if line.split()[3] == "0A"]
        assert not [line for line in listening if f"socket:[{line[9]}]" in inodes]
