"""A store with very many alerts: how long it takes to find some, as the API and the console do.

    python -m benchmarks.many_alerts [--alerts 1000000] [--gateways 1000] [--json]

Fills a database of its own, and asks the web application of the hub for pages of it, as a client does, without a
network between. Each question is asked with a warm cache, as often as it takes to tell its 95th percentile.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, insert, select

from vedette_hub.alerts.lifecycle import Acknowledgement, AlertRecord, Label
from vedette_hub.config import Config
from vedette_hub.hub import open_database, web_application
from vedette_hub.store import tokens
from vedette_hub.store.alert_rows import columns_of
from vedette_hub.store.database import reading, writing
from vedette_hub.store.retention import refresh_statistics
from vedette_hub.store.schema import alert_events, alerts, gateways
from vedette_models.messages import SEVERITIES, Alert, ChannelReason, Severity, Status, to_bytes

START = 1_700_000_000.0
SECONDS = 30.0
"""Between two alerts of the fleet."""
DEVICES = 10
"""Of each gateway."""
PROFILES = ("pump", "fan", "compressor")
REPEATS = 40

_KINDS = ("anomaly", "silent", "stuck", "impossible", "jump", "clock")
_KIND_SHARES = (60, 15, 10, 8, 6, 1)
_SEVERITY_SHARES = (40, 35, 20, 5)
_CHUNK = 10_000


def fill(engine: Engine, number: int, many_gateways: int = 1_000) -> None:
    """Fill an empty store with alerts of a fleet: one in 500 is active, one in 50 labelled, some gateways are busy."""
    draw = random.Random(6)
    names = [f"gw-{one:04d}" for one in range(many_gateways)]
    weights = [1.0 / (1 + place) ** 0.5 for place in range(many_gateways)]
    with writing(engine) as connection:
        rows = [
            {"gateway": name, "first_seen": START, "last_seen": START, "online": True, "status": _status(name)}
            for name in names
        ]
        connection.execute(insert(gateways), rows)
    for start in range(0, number, _CHUNK):
        chosen = draw.choices(names, weights, k=min(_CHUNK, number - start))
        with writing(engine) as connection:
            made = [_alert(draw, gateway, start + place) for place, gateway in enumerate(chosen)]
            connection.execute(insert(alerts), [row for row, _ in made])
            connection.execute(insert(alert_events), [event for _, event in made])
    refresh_statistics(engine)


def measure(engine: Engine, config: Config, repeats: int = REPEATS) -> dict[str, dict[str, float]]:
    """Milliseconds (p50 and p95) of each question to the API of a store that `fill` has filled.

    Beside those on the clock are those of processor time, which is all that is comparable on a busy machine.
    """
    with writing(engine) as connection:
        secret = tokens.new_secret()
        tokens.add_token(connection, f"benchmark {secret[-8:]}", secret, time.time(), role="admin")
    client = web_application(config).test_client()
    header = {"Authorization": f"Bearer {secret}"}

    def ask(path: str) -> Any:
        answer = client.get(f"/api/v1/{path}", headers=header)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer

    found = {}
    for name, path in _questions(engine):
        found[name] = _timed(partial(ask, path), repeats)
    return found


def _questions(engine: Engine) -> Iterator[tuple[str, str]]:
    with reading(engine) as connection:
        newest = connection.execute(select(alerts.c.serial).order_by(alerts.c.serial.desc()).limit(1)).scalar_one()
    middle, last = START + newest / 2 * SECONDS, START + newest * SECONDS
    month = 30 * 86_400.0
    queries = {
        "newest": "",
        "page of 500": "limit=500",
        "in the middle": f"before={newest // 2}",
        "needs attention": "attention=true",
        "active": "state=active",
        "acknowledged": "acknowledged=true",
        "critical": "severity=critical",
        "high or critical": "severity=high,critical",
        "a kind": "kind=jump",
        "two kinds": "kind=jump,clock",
        "a profile": "profile=pump",
        "busiest gateway": "gateway=gw-0000",
        "quiet gateway": "gateway=gw-0999",
        "a device": "device=gw-0500-d3",
        "labelled false": "label=false",
        "without a label": "label=none",
        "a detector": "detector=lof",
        "somebody's": "assignee=ana",
        "no such gateway": "gateway=nowhere",
        "critical of a profile": "profile=fan&severity=critical",
        "active of a profile": "profile=fan&state=active",
        "critical, busiest gateway": "gateway=gw-0000&severity=critical",
        "rare together": "kind=clock&severity=critical&profile=fan",
        "never together": "gateway=gw-0000&profile=fan&detector=nothing",
        "last month": f"since={last - month}",
        "last month, critical": f"since={last - month}&severity=critical",
        "a month of the middle": f"since={middle}&until={middle + month}",
        "a month of the middle, critical": f"since={middle}&until={middle + month}&severity=critical",
        "first day": f"until={START + 86_400.0}",
        "first half": f"until={middle}",
        "first half, critical": f"until={middle}&severity=critical",
    }
    for name, query in queries.items():
        yield name, f"alerts?{query}" if query else "alerts"
    for by in ("profile", "device", "detector"):
        yield f"accuracy by {by}, all alerts", f"alerts/accuracy?by={by}&since=0&until={last}"
    yield "a gateway page of 50", "gateways"


def _timed(ask: Callable[[], object], repeats: int) -> dict[str, float]:
    ask()
    taken, worked = [], []
    for _ in range(repeats):
        start, processor = time.perf_counter(), time.process_time()
        ask()
        worked.append(1000.0 * (time.process_time() - processor))
        taken.append(1000.0 * (time.perf_counter() - start))
        if sum(taken) > 10_000.0:
            break  # slow enough to be seen
    taken.sort()
    worked.sort()
    last = min(len(taken) - 1, int(0.95 * len(taken)))
    return {
        "p50_ms": round(taken[len(taken) // 2], 2),
        "p95_ms": round(taken[last], 2),
        "cpu_p50_ms": round(worked[len(worked) // 2], 2),
        "cpu_p95_ms": round(worked[last], 2),
    }


def _status(gateway: str) -> str:
    return to_bytes(Status(gateway, online=True, time=START, devices=DEVICES)).decode()


def _alert(draw: random.Random, gateway: str, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    device = draw.randrange(DEVICES)
    opened = START + number * SECONDS - draw.expovariate(1 / 60.0)
    active = draw.random() < 0.002
    (kind,) = draw.choices(_KINDS, _KIND_SHARES)
    (severity,) = draw.choices(SEVERITIES, _SEVERITY_SHARES)
    event = Alert(
        id=f"e1/{number}",
        revision=1,
        gateway=gateway,
        device=f"{gateway}-d{device}",
        profile=PROFILES[device % len(PROFILES)],
        kind=kind,
        state="active" if active else "cleared",
        severity=severity,
        opened=opened,
        time=opened + 30.0,
        score=round(1.0 + draw.expovariate(1.0), 3),
        reason="vibration 4.1 mm/s, usually 1.2–2.0; 71 % of the score",
        detector=draw.choice(("rangebreak", "isolation_forest", "mahalanobis", "lof")) if kind == "anomaly" else "",
        channels=(ChannelReason("vibration", 4.1, 1.2, 2.0, 0.71, unit="mm/s"),),
        cleared=None if active else opened + 600.0,
        cleared_by="" if active else "quiet",
    )
    raw = msgspec.json.encode(event).decode()
    record = _touched(draw, AlertRecord(event))
    row = {**columns_of(record), "event": raw, "received": opened + 1.0, "updated": opened + 1.0, "changed": number + 1}
    return row, {"gateway": gateway, "alert": event.id, "revision": 1, "received": opened + 1.0, "event": raw}


def _touched(draw: random.Random, record: AlertRecord) -> AlertRecord:
    opened, severity = record.event.opened, record.event.severity
    seen: Severity = severity
    acknowledgement = Acknowledgement("ana", opened + 60.0, seen) if draw.random() < 0.3 else None
    label = None
    if draw.random() < 0.02:
        label = Label(draw.choice(("true", "true", "true", "false", "normal")), "ana", opened + 90.0)
    return AlertRecord(record.event, acknowledgement, None, label)


def main() -> None:
    """Fill, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--alerts", type=int, default=1_000_000)
    arguments.add_argument("--gateways", type=int, default=1_000)
    arguments.add_argument("--state-dir", type=Path, help="use the store there, and fill it if there is none")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.state_dir or Path(scratch)
        filled = (folder / "hub.db").exists()
        config = Config.model_validate({"hub": {"state_dir": str(folder)}})
        engine = open_database(config)
        start = time.perf_counter()
        if not filled:
            fill(engine, chosen.alerts, chosen.gateways)
        seconds = 0.0 if filled else time.perf_counter() - start
        found = measure(engine, config)
        size = sum(path.stat().st_size for path in folder.glob("hub.db*"))
        engine.dispose()
    result = {"alerts": chosen.alerts, "fill_s": round(seconds, 1), "store_mb": round(size / 1e6), "answers": found}
    if chosen.json:
        json.dump(result, sys.stdout, indent=2)
        return
    print(f"{chosen.alerts} alerts, {result['store_mb']} MB")
    for name, taken in found.items():
        clock = f"p50 {taken['p50_ms']:8.1f} ms   p95 {taken['p95_ms']:8.1f} ms"
        print(f"{name:34} {clock}   processor p50 {taken['cpu_p50_ms']:7.1f} ms   p95 {taken['cpu_p95_ms']:7.1f} ms")


if __name__ == "__main__":
    main()
