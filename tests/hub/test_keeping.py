"""A hub that is backed up while it serves and takes in alerts comes up elsewhere as it was."""

from __future__ import annotations

import http.cookiejar
import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tests.brokers import Mosquitto
from tests.hub.conftest import HubProcess
from tests.hub.gateway import SimulatedGateway, alert, wait_for
from tests.hub.people import csrf_token
from tests.hub.updating import add_model
from vedette_hub.cli import main
from vedette_hub.keeping.restore import check
from vedette_hub.store.database import open_store


def run(hub: HubProcess, *arguments: str, typed: str | None = None) -> Result:
    told = CliRunner().invoke(main, [*arguments, "--config", str(hub.config)], input=typed)
    assert told.exit_code == 0, told.stderr
    return told


def all_alerts(hub: HubProcess) -> dict[str, Any]:
    found, before = {}, ""
    while True:
        page = hub.get(f"alerts?limit=500{before}")
        found.update({item["id"]: item for item in page["alerts"]})
        if page["next"] is None:
            return found
        before = f"&before={page['next']}"


def test_a_backup_of_a_hub_that_takes_in_alerts_comes_up_elsewhere(
    hub_process: HubProcess, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    hub_process.start()
    engine = open_store(f"sqlite:///{hub_process.state_dir / 'hub.db'}")
    add_model(engine)
    engine.dispose()
    run(hub_process, "user", "add", "ana", "--role", "approver", typed="correct horse battery\n")
    ring = run(hub_process, "key", "ring").stdout
    first, last = tmp_path / "first.backup", tmp_path / "last.backup"
    with SimulatedGateway(mosquitto.port, per_message=5) as gateway:
        for number in range(1, 201):
            gateway.put(2 * number - 1, alert(number))
            gateway.put(2 * number, alert(number, revision=2, severity="high"))
        wait_for(lambda: gateway.pending() < 400, "alerts come in")
        run(hub_process, "backup", str(first))
        wait_for(lambda: gateway.pending() == 0, "every row is receipted")
        run(hub_process, "backup", str(last))
    before = all_alerts(hub_process)
    assert len(before) == 200
    assert hub_process.stop() == 0

    # Taken in the middle: sound, and with no more than there was in the end.
    assert 0 < check(first).counts["alerts"] <= 200
    other = HubProcess(_folder(tmp_path / "other"), mosquitto.port)
    assert "It is sound" in run(other, "restore", str(last)).stderr
    try:
        other.start()
        assert all_alerts(other) == before
        assert run(other, "key", "ring").stdout == ring
        assert [user["name"] for user in json.loads(run(other, "user", "list", "--json").stdout)] == ["admin", "ana"]
        assert [version["version"] for version in json.loads(run(other, "models", "--json").stdout)] == [1]
        assert _signs_in(other, "ana", "correct horse battery")
        with SimulatedGateway(mosquitto.port) as gateway:
            gateway.put(1_000, alert(999))
            wait_for(lambda: gateway.pending() == 0, "a new row is receipted")
        assert "a-999" in all_alerts(other)
        assert other.stop() == 0
    finally:
        other.end()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _signs_in(hub: HubProcess, name: str, password: str) -> bool:
    """By the form, with its token and cookie."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    address = f"http://127.0.0.1:{hub.port}"
    page = browser.open(f"{address}/login", timeout=20).read().decode()
    form = urllib.parse.urlencode({"user": name, "password": password, "csrf_token": csrf_token(page)}).encode()
    answer = browser.open(urllib.request.Request(f"{address}/login", form), timeout=20)
    return bool(not answer.url.endswith("/login"))
