"""The hub: requests, ingest, WebSocket clients and a store with very many alerts.

    python -m benchmarks.hub --json
    python -m benchmarks.hub --only requests ingest --seconds 5

Parts: `requests` (health, detect, batches of 100 and 1,000 rows: requests a second, processor time of each), `ingest`
(alerts a second with receipts), `sockets` (200 clients that are told of 100 alerts a second) and `store` (pages and
answers of the API with 1,000,000 alerts of 1,000 gateways).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import hub_ingest, hub_requests, hub_sockets, many_alerts
from vedette_hub.config import Config
from vedette_hub.hub import open_database

ALERTS = 1_000_000
GATEWAYS = 1_000


def store(alerts: int, gateways: int) -> dict[str, Any]:
    """Milliseconds of questions to a store of so many alerts."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate({"hub": {"state_dir": folder}})
        engine = open_database(config)
        many_alerts.fill(engine, alerts, gateways)
        found: dict[str, Any] = many_alerts.measure(engine, config)
        size = sum(path.stat().st_size for path in Path(folder).glob("hub.db*"))
        engine.dispose()
    return {"alerts": alerts, "gateways": gateways, "store_mb": round(size / 1e6), "answers": found}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["requests", "ingest", "sockets", "store"])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each kind of request, and of the sockets")
    parser.add_argument("--clients", type=int, default=200, help="WebSocket clients")
    parser.add_argument("--alerts", type=int, default=ALERTS, help="in the store")
    parser.add_argument("--gateways", type=int, default=GATEWAYS, help="in the store")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "requests": lambda: dict(hub_requests.measure(options.seconds)),
        "ingest": lambda: dict(hub_ingest.measure()),
        "sockets": lambda: hub_sockets.measure(options.clients, seconds=options.seconds),
        "store": lambda: store(options.alerts, options.gateways),
    }
    found: dict[str, Any] = {
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
        }
    }
    for name, measure in parts.items():
        if options.only is None or name in options.only:
            print(f"{name} …", file=sys.stderr)
            found[name] = measure()
    if options.json:
        json.dump(found, sys.stdout, indent=2)
        print()
        return
    for name, value in _lines(found):
        print(f"{name:52} {value}")


def _lines(found: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Every figure with the names above it."""
    lines: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines += _lines(value, f"{above}{name}: ")
        else:
            lines.append((f"{above}{name}", f"{value:,.2f}" if isinstance(value, float) else str(value)))
    return lines


if __name__ == "__main__":
    main()
