"""What the agent counts, in Prometheus' text format 0.0.4, from its status. Pure, and no dependency of a gateway's.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vedette_models.readings import Quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vedette_models.messages import Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_LABELS = 1_000
"""Samples of one metric at most, such as one for each profile."""
_INGEST = ("receiving", "stalled", "waiting", "disconnected")


class Process(NamedTuple):
    """What the agent's process takes of the machine."""

    cpu_seconds: float
    memory_bytes: int


class Sample(NamedTuple):
    """One value of a metric."""

    value: float
    labels: Mapping[str, str] = {}


class Metric(NamedTuple):
    """A metric with its values; without any it is left out."""

    name: str
    kind: str
    """`gauge` or `counter`, whose name ends in `_total`."""
    help: str
    samples: Iterable[Sample]


def text(status: Status, process: Process) -> str:
    """Every metric of a status as one text."""
    return "".join(_lines(metric) for metric in _all(status, process))


def _all(status: Status, process: Process) -> Iterator[Metric]:
    about = {"gateway": status.gateway, "version": status.version}
    yield _gauge("build_info", "Version of the agent, and the name of its gateway.", Sample(1, about))
    yield _gauge("start_timestamp_seconds", "When the agent started.", status.started)
    yield from _counted(status)
    yield from _connections(status)
    yield from _devices(status)
    yield from _outbox(status)
    yield from _models(status)
    unset = bool(status.time_quality & Quality.GATEWAY_UNSET)
    yield _gauge("clock_unset", "Whether this machine's clock is not set.", unset)
    yield _gauge("problems", "Sentences that `vedette-agent status` has to say.", len(status.problems))
    cpu = "Processor time taken by the agent."
    yield Metric("process_cpu_seconds_total", "counter", cpu, (Sample(process.cpu_seconds),))
    resident = "Memory that the agent holds."
    yield Metric("process_resident_memory_bytes", "gauge", resident, (Sample(process.memory_bytes),))


def _counted(status: Status) -> Iterator[Metric]:
    counters = status.counters
    for name, said, value in (
        ("messages_received", "Messages received from devices.", counters.received),
        ("messages_acknowledged", "Messages acknowledged, since what they caused is durable.", counters.acknowledged),
        ("messages_duplicate", "Messages that came again and were not scored again.", counters.duplicates),
        ("messages_retained", "Retained messages, which are not scored.", counters.retained),
        ("readings_scored", "Readings scored.", counters.scored),
        ("alerts", "Alerts raised.", counters.alerts),
        ("alerts_suppressed", "Alerts held back by cooldown or rate.", counters.suppressed),
        ("outbox_rows_coalesced", "Rows of alert storms put together with others.", status.coalesced_rows),
    ):
        yield _counter(name, said, Sample(value))
    dead = sorted(counters.dead_by_reason.items())[:MOST_LABELS]
    yield _counter("dead_letters", "Messages and readings set aside.", *(Sample(n, {"reason": why}) for why, n in dead))


def _connections(status: Status) -> Iterator[Metric]:
    states = [Sample(status.ingest == state, {"state": state}) for state in _INGEST]
    yield _gauge("ingest", "1 for the state in which the way of readings is.", *states)
    if status.last_reading is not None:
        yield _gauge("last_message_timestamp_seconds", "When a message last arrived.", status.last_reading)
    if status.hub != "none":
        yield _gauge("hub_connected", "Whether the hub's broker is connected.", status.hub == "connected")


def _devices(status: Status) -> Iterator[Metric]:
    yield _gauge("devices", "Devices that are watched.", status.devices)
    yield _gauge("silent_devices", "Devices that have stopped reporting.", status.silent)
    restricted = [
        Sample(status.rate_limited, {"state": "rate_limited"}),
        Sample(status.quarantined, {"state": "quarantined"}),
    ]
    yield _gauge("restricted_devices", "Devices whose readings are not all taken.", *restricted)
    yield _gauge("open_alerts", "Alerts that are open.", status.open_alerts)


def _outbox(status: Status) -> Iterator[Metric]:
    yield _gauge("outbox_rows", "Rows that wait for the hub.", status.outbox_rows)
    yield _gauge("outbox_bytes", "Their size.", status.outbox_bytes)
    # A gauge: it counts as far back as the database remembers, which may be replaced.
    yield _gauge("outbox_rows_lost", "Rows given up before the hub had them.", status.lost_rows)
    if status.outbox_oldest is not None:
        yield _gauge("outbox_oldest_timestamp_seconds", "When the oldest of them was written.", status.outbox_oldest)
    if status.outbox_hours is not None:
        yield _gauge("outbox_hours_left", "Hours until the box is full without the hub.", status.outbox_hours)


def _models(status: Status) -> Iterator[Metric]:
    running = sorted(status.models.items())[:MOST_LABELS]
    labels = [{"profile": name, "detector": model.detector, "sha256": model.sha256} for name, model in running]
    versions = [Sample(model.version, label) for (_, model), label in zip(running, labels, strict=True)]
    yield _gauge("model_version", "Version of the model that runs, where one from the hub does.", *versions)
    on_probation = [Sample(model.on_probation, {"profile": name}) for name, model in running]
    yield _gauge("model_on_probation", "Whether it still has to prove itself.", *on_probation)
    yield _gauge("manifest", "Counter of the manifest in force.", status.manifest)
    rates = [({"profile": name}, rate) for name, rate in sorted(status.alert_rates.items())[:MOST_LABELS]]
    wanted = [Sample(rate.target, label) for label, rate in rates if rate.target is not None]
    yield _gauge("alert_budget", "False alerts per device and week that are wanted at most.", *wanted)
    raised = [Sample(rate.alerts, label) for label, rate in rates]
    yield _gauge("anomaly_alerts", "Anomaly alerts raised while the devices were watched.", *raised)
    watched = [Sample(rate.device_weeks, label) for label, rate in rates]
    yield _gauge("watched_device_weeks", "How long that was, all devices together.", *watched)


def _gauge(name: str, said: str, *values: Sample | float) -> Metric:
    samples = tuple(value if isinstance(value, Sample) else Sample(value) for value in values)
    return Metric(f"vedette_agent_{name}", "gauge", said, samples)


def _counter(name: str, said: str, *samples: Sample) -> Metric:
    return Metric(f"vedette_agent_{name}_total", "counter", said, samples)


def _lines(metric: Metric) -> str:
    values = [f"{metric.name}{_labels(sample.labels)} {float(sample.value)!r}\n" for sample in metric.samples]
    if not values:
        return ""
    return f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n{''.join(values)}"


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
