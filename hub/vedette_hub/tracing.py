"""Traces: what took how long, told to a collector as OpenTelemetry. While they are off, nothing of it is imported.

with span("ingest.batch", messages=12) as it:
    …
    it.set_attribute("rows", 40)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from vedette_hub.config import TracingSection
from vedette_hub.errors import ConfigurationError
from vedette_hub.version import VERSION

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

SERVICE = "vedette-hub"
EXPORT_SECONDS = 3
"""How long a collector may take for what is sent to it; then it is tried again, or given up when the hub stops."""
LONGEST_TEXT = 256

Value = str | int | float | bool


class Note(Protocol):
    """Where the inside of a span writes what it has learnt."""

    def set_attribute(self, key: str, value: Value) -> None:
        """Say something of the span."""


class _Nothing:
    def set_attribute(self, key: str, value: Value) -> None:
        pass


class _State:
    """What `configure` has set up in this process."""

    tracer: Tracer | None = None


_NOTHING = _Nothing()
_NO_SPAN: AbstractContextManager[Note] = nullcontext(_NOTHING)


def check(settings: TracingSection) -> None:
    """Refuse traces that cannot be made.

    Raises:
        ConfigurationError: an endpoint is set, and the extra is not installed.
    """
    if not settings.endpoint:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401  # both are tried only
    except ImportError as error:
        raise ConfigurationError(
            [f'tracing.endpoint: {error}; run `pip install "vedette[otel]"`, or leave the endpoint empty']
        ) from error


def configure(settings: TracingSection, part: str, exporter: SpanExporter | None = None) -> None:
    """Make traces in this process from now on; no effect without an endpoint.

    Args:
        settings: where they go, and which share is kept.
        part: of the hub, such as `web` or `ingest`.
        exporter: in place of the one for the endpoint.

    Raises:
        ConfigurationError: the extra is not installed.
    """
    _State.tracer = None
    if not settings.endpoint:
        return
    check(settings)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.share)),
        resource=Resource.create(
            {"service.name": SERVICE, "service.version": VERSION, "service.instance.id": part},
        ),
        span_limits=SpanLimits(max_span_attribute_length=LONGEST_TEXT),
    )
    if exporter is None:
        # Its queue is bounded: while no collector answers, the newest spans are left out, and requests do not wait.
        made = OTLPSpanExporter(endpoint=f"{settings.endpoint}/v1/traces", timeout=EXPORT_SECONDS)
        provider.add_span_processor(BatchSpanProcessor(made))
    else:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    _State.tracer = provider.get_tracer(SERVICE, VERSION)
    # A collector that is away is worth a line, not one for each attempt with all of its trace.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)


def span(name: str, **attributes: Value) -> AbstractContextManager[Note]:
    """What happens inside the block, as a part of what happens around it; an error that leaves it is noted."""
    tracer = _State.tracer
    return _NO_SPAN if tracer is None else tracer.start_as_current_span(name, attributes=attributes)


def begin_request(name: str, headers: Mapping[str, str], attributes: Mapping[str, Value]) -> Span | None:
    """A span for a request that came over the network; it continues the trace that its headers name.

    Whoever begins it ends it, with `end_request`.
    """
    tracer = _State.tracer
    if tracer is None:
        return None
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract(headers)
    return tracer.start_span(name, context=parent, kind=SpanKind.SERVER, attributes=dict(attributes))


@contextmanager
def inside(one: Span | None) -> Iterator[None]:
    """What happens in the block is a part of a request."""
    if one is None:
        yield
        return
    from opentelemetry.trace import use_span

    with use_span(one, end_on_exit=False):
        yield


def end_request(one: Span | None, name: str, attributes: Mapping[str, Value], *, failed: bool) -> None:
    """Say what a request was, which is known at its end, and end its span."""
    if one is None:
        return
    from opentelemetry.trace import Status, StatusCode

    one.update_name(name)
    for key, value in attributes.items():
        one.set_attribute(key, value)
    if failed:
        one.set_status(Status(StatusCode.ERROR))
    one.end()


def trace_id() -> str:
    """The trace that this belongs to, in 32 hexadecimal digits; empty without one."""
    if _State.tracer is None:
        return ""
    from opentelemetry.trace import get_current_span

    found = get_current_span().get_span_context()
    return f"{found.trace_id:032x}" if found.is_valid else ""
