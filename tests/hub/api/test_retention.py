"""How much is kept is shown to everybody who may read, and set by admins while the hub runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from tests.hub.conftest import Call
from tests.hub.gateway import alert, row
from vedette_hub.cli import main
from vedette_hub.config import LimitsSection
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.store import audit
from vedette_hub.store import retained as retained_store
from vedette_hub.store.audit import AuditFilter, Entry
from vedette_hub.store.database import reading, writing
from vedette_hub.store.retention import prune
from vedette_hub.store.schema import alerts
from vedette_models import topics
from vedette_models.messages import Delivery, to_bytes

DAY = 86_400.0
NOW = 1_700_000_000.0 + 100 * DAY


def by_name(body: Any) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in body["limits"]}


def add_alerts(engine: Engine, *ages: tuple[float, str]) -> None:
    rows = tuple(
        row(number, alert(number, state=state, opened=NOW - age * DAY)) for number, (age, state) in enumerate(ages, 1)
    )
    commit(engine, parse(topics.gateway_up("gw-1", "alerts"), to_bytes(Delivery(rows))), NOW, LimitsSection())


def names(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(alerts.select().with_only_columns(alerts.c.alert)).scalars())


def test_limits_are_shown_with_what_there_is_and_who_said_so(call: Call, engine: Engine) -> None:
    add_alerts(engine, (1, "active"), (2, "cleared"))
    code, body = call("GET", "retention")
    assert code == 200
    shown = by_name(body)["alerts"]
    assert (shown["limit"], shown["configured"], shown["there"], shown["set_by"]) == (1_000_000, 1_000_000, 2, "")
    code, body = call("PUT", "retention", json={"alerts": 10, "alerts_days": 30})
    assert code == 200
    shown = by_name(body)["alerts"]
    assert (shown["limit"], shown["configured"], shown["set_by"]) == (10, 1_000_000, "first (token)")
    assert shown["set_at"].endswith("Z")
    code, body = call("PUT", "retention", json={"alerts": None})
    assert by_name(body)["alerts"]["limit"] == 1_000_000
    assert by_name(body)["alerts_days"]["limit"] == 30
    with reading(engine) as connection:
        noted = [one.entry for one in audit.list_entries(connection, AuditFilter(action="retention.set"), limit=9)]
    assert [(entry.target, entry.detail) for entry in noted] == [
        ("alerts", "alerts from 10 to 1000000"),
        ("alerts, alerts_days", "alerts from 1000000 to 10, alerts_days from 0 to 30"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"alerts": 0}, "alerts"),
        ({"alerts": -1}, "alerts"),
        ({"alerts": "7"}, "alerts"),
        ({"alerts": 1.5}, "alerts"),
        ({"alerts": True}, "alerts"),
        ({"alerts": 10**13}, "alerts"),
        ({"audit_days": 40_000}, "audit_days"),
        ({"model_versions": 1}, "model_versions"),
        ({"alert": 5}, "alert"),
        ({"gateways": 5}, "gateways"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_name_and_nothing_changes(
    call: Call, body: dict[str, Any], field: str
) -> None:
    before = call("GET", "retention")[1]
    code, answer = call("PUT", "retention", json={"jobs": 7, **body})
    assert code == 422
    assert [one["field"].split(".")[0] for one in answer["error"]["fields"]] == [field]
    assert call("GET", "retention")[1] == before


def test_what_is_set_counts_at_once_and_a_restart_keeps_it(engine: Engine) -> None:
    add_alerts(engine, *[(n, "cleared") for n in range(1, 7)])
    limits = LimitsSection()
    assert prune(engine, limits, NOW) == {}
    with writing(engine) as connection:
        retained_store.set_limits(connection, {"alerts": 4}, limits, "ana", NOW)
    assert prune(engine, limits, NOW) == {"alerts_pruned": 2}
    with reading(engine) as connection:
        assert retained_store.effective(connection, limits).alerts == 4
        assert retained_store.effective(connection, limits).jobs == limits.jobs


def test_what_is_too_old_goes_but_no_alert_that_is_active(engine: Engine) -> None:
    add_alerts(engine, (40, "active"), (40, "cleared"), (31, "cleared"), (29, "cleared"), (1, "active"))
    with writing(engine) as connection:
        for age in (90, 61, 59, 1):
            audit.note(connection, Entry(NOW - age * DAY, "ana", "", f"age.{age}"))
    limits = LimitsSection(alerts_days=30, audit_days=60)
    assert prune(engine, limits) == {}
    assert prune(engine, limits, NOW) == {"alerts_expired": 2, "audit_expired": 2}
    assert names(engine) == {"a-1", "a-4", "a-5"}
    with reading(engine) as connection:
        left = [one.entry.action for one in audit.list_entries(connection, AuditFilter(), limit=9)]
    assert left == ["age.1", "age.59"]
    assert prune(engine, limits, NOW) == {}


def test_a_limit_of_another_version_in_the_database_does_no_harm(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("INSERT INTO retention_limits VALUES ('dreams', 5, 'ana', 1.0)")
        assert retained_store.effective(connection, LimitsSection()) == LimitsSection()
        assert "dreams" not in [one.name for one in retained_store.list_retention(connection, LimitsSection())]


def test_the_command_line_shows_sets_and_resets(tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text('[hub]\nstate_dir = "state"\n[limits]\njobs = 50\n')

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["retention", *arguments, "--config", str(path)])
        return result.exit_code, result.stdout, result.stderr

    assert "jobs\tat most 50 jobs\tthere are 0\tconfiguration" in run()[1]
    code, out, _ = run("set", "jobs", "70")
    assert (code, out.split("\t")[1]) == (0, "at most 70 jobs")
    assert "(command line)" in out
    assert run("reset", "jobs")[1].split("\t")[1] == "at most 50 jobs"
    assert "samples_days\tno limit" in run()[1]
    code, _, err = run("set", "jobs", "0")
    assert (code, "jobs: input should be greater than or equal to 1, not 0" in err) == (1, True)
    code, _, err = run("set", "dreams", "1")
    assert (code, "there is no limit 'dreams'" in err) == (1, True)
    assert '"name": "alerts"' in run("--json")[1]
