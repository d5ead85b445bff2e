"""The hub's API, read by a test."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote


class HubApi:
    """`/api/v1` of a hub on this machine, with the token of its first start."""

    def __init__(self, port: int, state_dir: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self._root = f"http://{self.address}"
        self._token = state_dir / "api-token"

    def is_well(self) -> bool:
        """Whether the hub answers, and is connected to its broker."""
        try:
            with urllib.request.urlopen(f"{self._root}/health", timeout=2) as answer:
                return bool(json.load(answer)["status"] == "ok")
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """The answer as JSON."""
        request = urllib.request.Request(f"{self._root}/api/v1/{path}")
        request.add_header("Authorization", f"Bearer {self._token.read_text().strip()}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert, page by page."""
        found: list[dict[str, Any]] = []
        page = self.get("alerts?limit=500")
        while True:
            found += page["alerts"]
            if page["next"] is None:
                return found
            page = self.get(f"alerts?limit=500&before={page['next']}")

    def events(self, alert: dict[str, Any]) -> list[tuple[str, int]]:
        """(id, revision) of every event in an alert's history, as often as it stands there."""
        history = self.get(f"alerts/{quote(alert['gateway'], safe='')}/{quote(alert['id'], safe='')}")["history"]
        return [(alert["id"], item["revision"]) for item in history if item["what"] == "event"]
