"""What the console's first page shows, read from the store in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from vedette_hub.api.answers import alert_answer, gateway_answer
from vedette_hub.fleet.ingest_state import IngestState
from vedette_hub.store import fleet
from vedette_hub.store.alert_search import AlertFilter, count_alerts, list_alerts
from vedette_hub.store.database import reading
from vedette_models.messages import SEVERITIES

ATTENTION_SHOWN = 20
ANOMALOUS_SHOWN = 8
ANOMALOUS_READ = 500
RECENT_SHOWN = 12
GATEWAYS_READ = 2_000
TROUBLED_SHOWN = 12

_WORST_FIRST = tuple(reversed(SEVERITIES))


@dataclass(frozen=True)
class Overview:
    """The page's content."""

    attention: list[dict[str, Any]]
    """Active and not acknowledged: the most severe first, then the newest."""
    attention_total: int
    by_severity: dict[str, int]
    """How many of them there are of each severity."""
    anomalous: list[dict[str, Any]]
    """Devices by the score of their open alerts, the highest first."""
    recent: list[dict[str, Any]]
    """The newest of the others."""
    troubled: list[dict[str, Any]]
    """Gateways that are not well, the first of them."""
    troubled_total: int
    states: dict[str, int]
    """How many gateways are `online`, `silent`, `offline`, `unknown`; and online, but hearing nothing: `no data`."""
    gateways_total: int
    devices: int
    """Devices that gateways watch."""
    silent_devices: int
    outbox_rows: int
    """What waits on gateways."""
    ingest: IngestState

    @property
    def unreachable(self) -> int:
        """Gateways that are not online."""
        return self.gateways_total - self.states.get("online", 0)

    @property
    def no_data(self) -> int:
        """Gateways that are online and hear nothing of their devices."""
        return self.states.get("no data", 0)

    @property
    def all_well(self) -> bool:
        """Whether silence means that all is well."""
        reached = self.ingest.connected and not self.ingest.problem
        return reached and self.unreachable == 0 and self.no_data == 0 and self.gateways_total > 0


def read_overview(engine: Engine, ingest: IngestState, now: float, silent_after: float) -> Overview:
    """Read what the page shows."""
    with reading(engine) as connection:
        attention: list[dict[str, Any]] = []
        by_severity: dict[str, int] = {}
        for severity in _WORST_FIRST:
            chosen = AlertFilter(attention=True, severity=(severity,))
            by_severity[severity] = count_alerts(connection, chosen).number
            room = ATTENTION_SHOWN - len(attention)
            if room > 0:
                attention += [alert_answer(found) for found in list_alerts(connection, chosen, limit=room)]
        open_now = list_alerts(connection, AlertFilter(state=("active",)), limit=ANOMALOUS_READ)
        recent = list_alerts(connection, AlertFilter(attention=False), limit=RECENT_SHOWN)
        found = fleet.list_gateways(connection, limit=GATEWAYS_READ)
        gateways_total = fleet.count_gateways(connection)
    gateways = [gateway_answer(gateway, now, silent_after) for gateway in found]
    states = Counter(gateway["state"] for gateway in gateways)
    states["no data"] = sum(hears_nothing(gateway) for gateway in gateways)
    troubled = [gateway for gateway in gateways if trouble(gateway)]
    statuses = [gateway["status"] or {} for gateway in gateways]
    return Overview(
        attention=attention,
        attention_total=sum(by_severity.values()),
        by_severity=by_severity,
        anomalous=_most_anomalous([alert_answer(one) for one in open_now]),
        recent=[alert_answer(one) for one in recent],
        troubled=sorted(troubled, key=trouble, reverse=True)[:TROUBLED_SHOWN],
        troubled_total=len(troubled),
        states=dict(states),
        gateways_total=gateways_total,
        devices=sum(status.get("devices", 0) for status in statuses),
        silent_devices=sum(status.get("silent", 0) for status in statuses),
        outbox_rows=sum(status.get("outbox_rows", 0) for status in statuses),
        ingest=ingest,
    )


def hears_nothing(gateway: dict[str, Any]) -> bool:
    """Whether a gateway is online and nothing comes from its devices: no data is not the same as all well."""
    said = (gateway["status"] or {}).get("ingest", "")
    return gateway["state"] == "online" and said in {"stalled", "waiting", "disconnected"}


def trouble(gateway: dict[str, Any]) -> int:
    """How much is wrong with a gateway, to put the worst first; 0: nothing is."""
    by_state = {"offline": 8, "silent": 6, "unknown": 2, "online": 0}[gateway["state"]]
    return by_state + 4 * hears_nothing(gateway) + bool(gateway["problems"])


def _most_anomalous(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_device: dict[tuple[str, str], dict[str, Any]] = {}
    for alert in found:
        key = (alert["gateway"], alert["device"])
        if key not in by_device or alert["score"] > by_device[key]["score"]:
            by_device[key] = alert
    return sorted(by_device.values(), key=lambda alert: -alert["score"])[:ANOMALOUS_SHOWN]
