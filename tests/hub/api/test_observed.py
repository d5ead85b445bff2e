"""Every request has an id, in its answer and in every line that it causes; it is counted, and writes no line itself."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from tests.hub import people
from vedette_hub import log, request_id
from vedette_hub.api.observed import Observed
from vedette_hub.config import HubSection


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The hub's log as JSON."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    for handler in before:
        root.removeHandler(handler)
    log.configure(HubSection(log_format="json"))
    yield written
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)


def said(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def send(client: Any, method: str, path: str, **options: Any) -> Any:
    return client.open(path, method=method, buffered=True, **options)


def test_an_id_that_was_sent_is_kept_and_one_that_cannot_stand_in_a_log_is_not(client: Any) -> None:
    for sent in ("abc-1.x_Z", "a" * 64):
        assert send(client, "GET", "/health", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent
    made = {send(client, "GET", "/health").headers["X-Request-ID"] for _ in range(3)}
    assert len(made) == 3
    for sent in ("", "a b", "a" * 65, "é", 'x"y'):
        answered = send(client, "GET", "/health", headers={"X-Request-ID": sent}).headers.getlist("X-Request-ID")
        assert len(answered) == 1
        assert answered[0] != sent
        assert len(answered[0]) == 16


def test_every_answer_has_an_id_also_one_to_nonsense(client: Any) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("DELETE", "/health", 405),
        ("GET", "/api/v1/alerts", 401),
        ("GET", "/metrics", 401),
        ("GET", "/", 302),
    ):
        answer = send(client, method, path)
        assert (answer.status_code, len(answer.headers["X-Request-ID"])) == (status, 16)


def test_lines_of_a_request_have_its_id_and_those_outside_have_none(
    client: Any, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("vedette_hub.api.retention.list_retention", broken)
    token = {"Authorization": f"Bearer {client.token}", "X-Request-ID": "ticket-7"}
    answer = send(client, "GET", "/api/v1/retention", headers=token)
    assert answer.status_code == 500
    assert "ticket-7" in answer.get_json()["error"]["message"]
    assert "boom" not in answer.get_data(as_text=True)
    logging.getLogger("elsewhere").warning("no request's")
    found = said(lines)
    trace = next(line for line in found if line["levelname"] == "ERROR")
    assert trace["request_id"] == "ticket-7"
    assert "boom" in trace["exc_info"]
    assert "request_id" not in found[-1]
    assert found[-1]["asctime"].endswith("Z")
    with request_id.using("delivery-17"):
        logging.getLogger("elsewhere").warning("a delivery's")
    assert said(lines)[-1]["request_id"] == "delivery-17"


def test_writes_and_refusals_have_a_line_with_who_and_what_and_reads_have_none(
    client: Any, lines: io.StringIO, engine: Engine
) -> None:
    token = {"Authorization": f"Bearer {people.make_token(engine, 'night', 'admin')}"}
    send(client, "GET", "/api/v1/alerts?since=5", headers=token)
    assert said(lines) == []
    send(client, "PUT", "/api/v1/retention?x=secret", headers=token, json={"audit": 50})
    (line,) = said(lines)
    assert (line["method"], line["path"], line["route"]) == ("PUT", "/api/v1/retention", "/api/v1/retention")
    assert (line["status"], line["by"], line["address"]) == (200, "night (token)", "127.0.0.1")
    assert line["milliseconds"] > 0
    assert "secret" not in lines.getvalue()
    send(client, "GET", "/api/v1/audit")
    assert said(lines)[-1]["status"] == 401


def test_a_path_cannot_write_a_line_of_its_own(client: Any, lines: io.StringIO) -> None:
    send(client, "GET", "/x%0a2026-01-01 ERROR all is lost%1b[31m" + "y" * 2_000)
    (line,) = said(lines)
    assert line["path"].startswith("/x%0A2026-01-01%20ERROR")
    assert len(line["path"]) == 300
    assert line["route"] == "unmatched"


def test_a_line_for_people_ends_with_the_id() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "hello", None, None)
    with request_id.using("abc"):
        log._add_ids(record)
    assert log._Text("%(levelname)s %(message)s").format(record) == "INFO hello [abc]"


def scraped(client: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = send(client, "GET", "/metrics", headers={"Authorization": f"Bearer {client.token}"})
    assert answer.status_code == 200
    families = list(text_string_to_metric_families(answer.get_data(as_text=True)))
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def labels(**pairs: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairs.items())


def test_requests_are_counted_by_route_so_that_nobody_can_make_series_without_end(client: Any) -> None:
    for number in range(5):
        send(client, "GET", f"/nowhere/{number}")
        send(client, "GET", f"/api/v1/gateways/gw-{number}")
        send(client, "BREW", "/health")
    found = scraped(client)
    requests = "vedette_hub_http_requests_total"
    assert found[requests, labels(method="GET", route="unmatched", status="404")] == 5
    assert found[requests, labels(method="GET", route="/api/v1/gateways/{gateway}", status="401")] == 5
    assert found[requests, labels(method="other", route="unmatched", status="405")] == 5
    assert found["vedette_hub_http_requests_in_flight", labels()] == 1  # this one
    assert found["vedette_hub_http_request_seconds_count", labels(method="GET", route="unmatched")] == 5
    assert not any("gw-3" in str(key) for key in found)


def test_metrics_say_what_is_kept_and_when_it_was_backed_up(client: Any, engine: Engine) -> None:
    from vedette_hub.store import audit
    from vedette_hub.store.audit import Entry
    from vedette_hub.store.database import writing

    assert not any(name == "vedette_hub_last_backup_timestamp_seconds" for name, _ in scraped(client))
    with writing(engine) as connection:
        audit.note(connection, Entry(123.0, "ana", "", "hub.backup", "x"))
    found = scraped(client)
    assert found["vedette_hub_last_backup_timestamp_seconds", labels()] == 123.0
    assert found["vedette_hub_retention_limit", labels(name="audit")] == 100_000
    assert found["vedette_hub_database_bytes", labels()] > 4096
    assert found["process_resident_memory_bytes", labels()] > 1_000_000


def test_an_answer_that_breaks_off_is_counted_once_and_is_in_flight_no_more() -> None:
    from vedette_hub.api.instruments import Instruments

    counted = Instruments()

    def application(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"first"
        raise OSError("gone")

    answer: Any = Observed(application, counted, "none")({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, lambda *_: None)
    assert counted.in_flight._value.get() == 1
    assert next(iter(answer)) == b"first"
    answer.close()
    answer.close()
    assert counted.in_flight._value.get() == 0
    assert counted.requests.labels("GET", "unmatched", 200)._value.get() == 1


def test_an_application_that_raises_is_counted_as_failed() -> None:
    from vedette_hub.api.instruments import Instruments

    counted = Instruments()

    def application(_environ: Any, _start: Any) -> list[bytes]:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        Observed(application, counted, "none")({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, lambda *_: None)
    assert counted.in_flight._value.get() == 0
    assert counted.requests.labels("GET", "unmatched", 500)._value.get() == 1


def test_a_balancer_is_told_when_requests_should_go_elsewhere(
    client: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vedette_hub.api import health

    assert send(client, "GET", "/ready").get_json() == {"ready": True, "reason": ""}
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    answer = send(client, "GET", "/ready")
    assert (answer.status_code, "schema of another version" in answer.get_json()["reason"]) == (503, True)
    monkeypatch.setattr(health.stopping, "is_set", lambda: True)
    assert send(client, "GET", "/ready").get_json() == {"ready": False, "reason": "the hub is stopping"}
