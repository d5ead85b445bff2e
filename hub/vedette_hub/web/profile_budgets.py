"""What the page of profiles shows: the alert budget of each, and what it came to, read from the store."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Engine

from vedette_hub.learning import registry
from vedette_hub.store import fleet
from vedette_hub.store.database import reading
from vedette_hub.store.samples import sample_totals
from vedette_hub.store.summary import count_true_anomalies

GATEWAYS_READ = 2_000


@dataclass
class ProfileBudget:
    """One profile over all gateways."""

    name: str
    readings: int = 0
    """Samples there are."""
    newest: int | None = None
    """Version trained last."""
    trained_for: float | None = None
    """Budget that it was trained for: false alerts per device and week, at most."""
    targets: set[float] = field(default_factory=set)
    """Budgets that gateways have."""
    alerts: int = 0
    labelled_true: int = 0
    device_weeks: float = 0.0
    """How long devices were watched, all together."""
    gateways: int = 0

    @property
    def realised(self) -> float | None:
        """False alerts per device and week; None: watched for too short a time to say."""
        return max(self.alerts - self.labelled_true, 0) / self.device_weeks if self.device_weeks >= 1.0 else None

    @property
    def over(self) -> bool:
        """Whether there are more than wanted."""
        return self.realised is not None and bool(self.targets) and self.realised > max(self.targets)


def read_profiles(engine: Engine) -> list[ProfileBudget]:
    """Every profile that samples, models or gateways know, by name."""
    found: dict[str, ProfileBudget] = {}

    def of(name: str) -> ProfileBudget:
        return found.setdefault(name, ProfileBudget(name))

    with reading(engine) as connection:
        for total in sample_totals(connection):
            of(total.profile).readings = total.readings
        for name in {model.profile for model in registry.list_versions(connection, limit=1_000)}:
            model = registry.newest(connection, name)
            if model is not None:
                of(name).newest, of(name).trained_for = model.version, model.lineage.get("alerts_per_week")
        gateways = fleet.list_gateways(connection, limit=GATEWAYS_READ)
        true = count_true_anomalies(connection, [gateway.gateway for gateway in gateways])
    for gateway in gateways:
        for name, rate in (gateway.status.alert_rates if gateway.status is not None else {}).items():
            one = of(name)
            one.gateways += 1
            one.alerts += rate.alerts
            one.device_weeks += rate.device_weeks
            one.labelled_true += true.get(gateway.gateway, {}).get(name, 0)
            if rate.target is not None:
                one.targets.add(rate.target)
    return [found[name] for name in sorted(found)]
