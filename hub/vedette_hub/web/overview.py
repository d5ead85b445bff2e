"""What the console's page shows, read from the store in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from vedette_hub.api.answers import alert_answer, gateway_answer
from vedette_hub.fleet.ingest_state import IngestState
from vedette_hub.store import alerts, fleet
from vedette_hub.store.alerts import AlertFilter
from vedette_hub.store.database import reading
from vedette_hub.store.summary import count_active, count_true_anomalies
from vedette_models.messages import SEVERITIES

ATTENTION_SHOWN = 50
RECENT_SHOWN = 25
GATEWAYS_SHOWN = 200

_WORST_FIRST = tuple(reversed(SEVERITIES))
_GATEWAY_ORDER = ("offline", "silent", "unknown", "online")


@dataclass(frozen=True)
class Overview:
    """The page's content."""

    attention: list[dict[str, Any]]
    """Active and not acknowledged: the most severe first, then the newest."""
    attention_total: int
    recent: list[dict[str, Any]]
    """The newest of the others."""
    gateways: list[dict[str, Any]]
    """Those that are not well first."""
    gateways_total: int
    unreachable: int
    """Gateways that are not online."""
    ingest: IngestState

    @property
    def all_well(self) -> bool:
        """Whether silence means that all is well."""
        return self.ingest.connected and not self.ingest.problem and self.unreachable == 0 and self.gateways_total > 0


def read_overview(engine: Engine, ingest: IngestState, now: float, silent_after: float) -> Overview:
    """Read what the page shows."""
    with reading(engine) as connection:
        attention: list[dict[str, Any]] = []
        for severity in _WORST_FIRST:
            room = ATTENTION_SHOWN - len(attention)
            if room > 0:
                chosen = AlertFilter(attention=True, severity=(severity,))
                attention += [alert_answer(found) for found in alerts.list_alerts(connection, chosen, limit=room)]
        attention_total = alerts.count_alerts(connection, AlertFilter(attention=True))
        recent = alerts.list_alerts(connection, AlertFilter(attention=False), limit=RECENT_SHOWN)
        found_gateways = fleet.list_gateways(connection, limit=GATEWAYS_SHOWN)
        gateways_total = fleet.count_gateways(connection)
        active = count_active(connection)
        true = count_true_anomalies(connection, [gateway.gateway for gateway in found_gateways])
    gateways = [
        gateway_answer(gateway, now, silent_after, true.get(gateway.gateway, {}))
        | {"active": active.get(gateway.gateway, 0)}
        for gateway in found_gateways
    ]
    gateways.sort(key=lambda gateway: (_GATEWAY_ORDER.index(gateway["state"]), gateway["gateway"]))
    return Overview(
        attention=attention,
        attention_total=attention_total,
        recent=[alert_answer(found) for found in recent],
        gateways=gateways,
        gateways_total=gateways_total,
        unreachable=sum(gateway["state"] != "online" for gateway in gateways),
        ingest=ingest,
    )
