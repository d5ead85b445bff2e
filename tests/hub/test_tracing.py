"""Traces say what a request took and what was in it; without the setting nothing of them is imported."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import Engine

from tests.hub.conftest import HubProcess
from tests.hub.gateway import SimulatedGateway, alert, wait_for
from vedette_hub import tracing
from vedette_hub.config import TracingSection
from vedette_hub.errors import ConfigurationError
from vedette_hub.store.database import writing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NOWHERE = TracingSection(endpoint="http://127.0.0.1:9")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    tracing.configure(NOWHERE, "test", kept)
    yield kept
    tracing.configure(TracingSection(), "test")


def named(kept: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in kept.get_finished_spans() if span.name == name]
    return found


def test_a_request_continues_the_trace_that_it_names_and_holds_what_it_did(
    client: Any, spans: InMemorySpanExporter
) -> None:
    headers = {
        "Authorization": f"Bearer {client.token}",
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        "X-Request-ID": "ticket-7",
    }
    client.put("/api/v1/retention", headers=headers, json={"jobs": 9}, buffered=True)
    request = named(spans, "PUT /api/v1/retention")
    assert request.kind is SpanKind.SERVER
    assert f"{request.context.trace_id:032x}" == TRACE
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["vedette.request_id"] == "ticket-7"
    inner = [span for span in spans.get_finished_spans() if span.name in {"store.read", "store.write"}]
    assert inner
    assert {span.parent.span_id for span in inner if span.parent} == {request.context.span_id}
    assert request.resource.attributes["service.name"] == "vedette-hub"


def test_a_parent_that_is_nonsense_begins_a_trace_of_its_own(client: Any, spans: InMemorySpanExporter) -> None:
    client.get("/nowhere/7", headers={"traceparent": "00-zz-zz-01"}, buffered=True)
    request = named(spans, "GET unmatched")
    assert request.parent is None
    assert request.context.trace_id


def test_an_error_is_noted_where_it_happened(engine: Engine, spans: InMemorySpanExporter) -> None:
    with pytest.raises(RuntimeError), tracing.span("outer", number=1), writing(engine):
        raise RuntimeError("boom")
    outer, inner = named(spans, "outer"), named(spans, "store.write")
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert inner.status.status_code is StatusCode.ERROR
    assert outer.attributes == {"number": 1}


def test_lines_of_the_log_name_the_trace(spans: InMemorySpanExporter) -> None:
    assert tracing.trace_id() == ""
    with tracing.span("work"):
        assert len(tracing.trace_id()) == 32
    assert tracing.trace_id() == ""


def test_a_share_of_nothing_keeps_nothing() -> None:
    kept = InMemorySpanExporter()
    tracing.configure(TracingSection(endpoint=NOWHERE.endpoint, share=0.0), "test", kept)
    with tracing.span("work") as it:
        it.set_attribute("rows", 5)
    assert kept.get_finished_spans() == ()
    tracing.configure(TracingSection(), "test")


def test_without_an_endpoint_nothing_happens_and_nothing_is_imported() -> None:
    code = (
        "import sys\n"
        "from vedette_hub import hub, tracing\n"
        "from vedette_hub.config import TracingSection\n"
        "tracing.configure(TracingSection(), 'test')\n"
        "with tracing.span('x', a=1) as it: it.set_attribute('b', 2)\n"
        "assert tracing.begin_request('x', {}, {}) is None and tracing.trace_id() == ''\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_endpoint_without_the_extra_is_refused_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    tracing.check(TracingSection())
    with pytest.raises(ConfigurationError, match=r'pip install "vedette\[otel\]"'):
        tracing.configure(NOWHERE, "test")


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "ftp://h", "http://", "http://u:p@h", "http://h?x=1", "http://h:x"]
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        TracingSection(endpoint=endpoint)


class Collector:
    """Takes spans in as a collector does, over HTTP on loopback."""

    def __init__(self) -> None:
        self.spans: dict[str, set[str]] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            about = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                found = self.spans.setdefault(about["service.instance.id"], set())
                found.update(span.name for span in scope.spans)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_hub_tells_a_collector_of_requests_and_of_what_gateways_said(
    hub_process: HubProcess, mosquitto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with hub_process.config.open("a") as config:
        config.write(f'[tracing]\nendpoint = "http://127.0.0.1:{collector.port}"\n')
    try:
        hub_process.start()
        with SimulatedGateway(mosquitto.port) as gateway:
            gateway.put(1, alert(1))
            wait_for(lambda: gateway.pending() == 0, "the row is receipted")
        wait_for(lambda: "ingest.batch" in collector.spans.get("ingest", set()), "the collector hears of ingest")
        wait_for(lambda: "GET /health" in collector.spans.get("web", set()), "the collector hears of requests")
        assert hub_process.stop() == 0
    finally:
        collector.close()


def test_a_collector_that_is_away_delays_no_request_and_no_stop(hub_process: HubProcess) -> None:
    with hub_process.config.open("a") as config:
        config.write('[tracing]\nendpoint = "http://127.0.0.1:9"\n')
    hub_process.start()
    assert hub_process.health() == "ok"
    assert hub_process.stop() == 0
    assert "Traceback" not in hub_process.log.read_text()
