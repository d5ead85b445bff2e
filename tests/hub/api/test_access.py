"""Who may call what: every route × every role, by token and by session, and every scope."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIBlueprint, APIFlask

from tests.hub import people
from vedette_hub.api.access import UndeclaredRouteError, open_to_all, requires
from vedette_hub.config import Config
from vedette_hub.hub import open_database, web_application
from vedette_hub.identity.roles import ROLES, SCOPES, covers

OPEN = "open"
"""Everybody, without signing in."""
READ, ALERTS, TRAIN, PUSH, ADMIN = ("read",), ("alerts",), ("train",), ("push",), ("admin",)

# Route → (least role, scopes of which a token that is narrowed needs one, "person" where it is for users alone). It
# says again, on purpose, what is declared at the routes: what a route needs is changed in two places, or not at all.
ROUTES: dict[tuple[str, str], tuple[str, tuple[str, ...], str]] = {
    ("GET", "/"): ("viewer", READ, ""),
    ("GET", "/account"): ("viewer", READ, "person"),
    ("POST", "/account/password"): ("viewer", READ, "person"),
    ("POST", "/account/sign-out"): ("viewer", READ, "person"),
    ("POST", "/alerts/<gateway>/<alert>/acknowledge"): ("operator", ALERTS, ""),
    ("GET", "/api/v1/alerts"): ("viewer", READ, ""),
    ("GET", "/api/v1/alerts/<gateway>/<alert>"): ("viewer", READ, ""),
    ("POST", "/api/v1/alerts/<gateway>/<alert>/acknowledge"): ("operator", ALERTS, ""),
    ("POST", "/api/v1/alerts/<gateway>/<alert>/assign"): ("operator", ALERTS, ""),
    ("POST", "/api/v1/alerts/<gateway>/<alert>/comment"): ("operator", ALERTS, ""),
    ("POST", "/api/v1/alerts/<gateway>/<alert>/label"): ("operator", ALERTS, ""),
    ("POST", "/api/v1/alerts/<gateway>/<alert>/resolve"): ("operator", ALERTS, ""),
    ("POST", "/api/v1/alerts/<gateway>/<alert>/unacknowledge"): ("operator", ALERTS, ""),
    ("GET", "/api/v1/alerts.csv"): ("viewer", READ, ""),
    ("GET", "/api/v1/alerts/accuracy"): ("viewer", READ, ""),
    ("POST", "/api/v1/alerts/bulk"): ("operator", ALERTS, ""),
    ("GET", "/api/v1/algorithms"): ("viewer", READ, ""),
    ("GET", "/api/v1/audit"): ("admin", ADMIN, ""),
    ("GET", "/api/v1/audit.csv"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/detect"): ("operator", ("detect",), ""),
    ("POST", "/api/v1/detect/batch"): ("operator", ("detect",), ""),
    ("GET", "/api/v1/devices"): ("viewer", READ, ""),
    ("GET", "/api/v1/devices.csv"): ("viewer", READ, ""),
    ("GET", "/api/v1/devices/<device>/forecast"): ("viewer", READ, ""),
    ("GET", "/api/v1/devices/<gateway>/<device>"): ("viewer", READ, ""),
    ("GET", "/api/v1/channels"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/channels"): ("admin", ADMIN, ""),
    ("DELETE", "/api/v1/channels/<channel>"): ("admin", ADMIN, ""),
    ("GET", "/api/v1/channels/<channel>"): ("admin", ADMIN, ""),
    ("PATCH", "/api/v1/channels/<channel>"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/channels/<channel>/test"): ("admin", ADMIN, ""),
    ("GET", "/api/v1/deliveries"): ("operator", ALERTS, ""),
    ("GET", "/api/v1/deliveries/<number>"): ("operator", ALERTS, ""),
    ("POST", "/api/v1/deliveries/<number>/retry"): ("admin", ADMIN, ""),
    ("GET", "/api/v1/routes"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/routes"): ("admin", ADMIN, ""),
    ("DELETE", "/api/v1/routes/<route>"): ("admin", ADMIN, ""),
    ("GET", "/api/v1/routes/<route>"): ("admin", ADMIN, ""),
    ("PATCH", "/api/v1/routes/<route>"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/devices/<gateway>/<device>/live"): ("viewer", READ, ""),
    ("GET", "/api/v1/gateways"): ("viewer", READ, ""),
    ("GET", "/api/v1/gateways.csv"): ("viewer", READ, ""),
    ("GET", "/api/v1/gateways/<gateway>"): ("viewer", READ, ""),
    ("PUT", "/api/v1/gateways/<gateway>/group"): ("approver", PUSH, ""),
    ("GET", "/api/v1/health"): (OPEN, (), ""),
    ("GET", "/api/v1/jobs"): ("viewer", READ, ""),
    ("GET", "/api/v1/jobs.csv"): ("viewer", READ, ""),
    ("GET", "/api/v1/jobs/<number>"): ("viewer", READ, ""),
    ("POST", "/api/v1/jobs/<number>/cancel"): ("approver", TRAIN, ""),
    ("GET", "/api/v1/maintenance"): ("viewer", READ, ""),
    ("POST", "/api/v1/maintenance"): ("operator", ALERTS, ""),
    ("GET", "/api/v1/maintenance/<number>"): ("viewer", READ, ""),
    ("PUT", "/api/v1/maintenance/<number>"): ("operator", ALERTS, ""),
    ("DELETE", "/api/v1/maintenance/<number>"): ("operator", ALERTS, ""),
    ("GET", "/api/v1/me"): ("viewer", SCOPES, ""),
    ("POST", "/api/v1/me/password"): ("viewer", READ, "person"),
    ("GET", "/api/v1/models"): ("viewer", READ, ""),
    ("GET", "/api/v1/models.csv"): ("viewer", READ, ""),
    ("GET", "/api/v1/models/<profile>/<version>"): ("viewer", READ, ""),
    ("GET", "/api/v1/models/<profile>/<version>/plots/<name>.svg"): ("viewer", READ, ""),
    ("POST", "/api/v1/models/<profile>/<version>/push"): ("approver", PUSH, ""),
    ("POST", "/api/v1/models/<profile>/rollback"): ("approver", PUSH, ""),
    ("POST", "/api/v1/models/<profile>/unload"): ("approver", PUSH, ""),
    ("POST", "/api/v1/models/train"): ("approver", TRAIN, ""),
    ("GET", "/api/v1/retention"): ("viewer", READ, ""),
    ("PUT", "/api/v1/retention"): ("admin", ADMIN, ""),
    ("GET", "/api/v1/profiles"): ("viewer", READ, ""),
    ("GET", "/api/v1/profiles/<profile>"): ("viewer", READ, ""),
    ("GET", "/api/v1/samples"): ("viewer", READ, ""),
    ("GET", "/api/v1/severity-rules"): ("viewer", READ, ""),
    ("PUT", "/api/v1/severity-rules"): ("admin", ADMIN, ""),
    ("GET", "/api/v1/silences"): ("viewer", READ, ""),
    ("POST", "/api/v1/silences"): ("operator", ALERTS, ""),
    ("GET", "/api/v1/silences/<number>"): ("viewer", READ, ""),
    ("POST", "/api/v1/silences/<number>/end"): ("operator", ALERTS, ""),
    ("GET", "/api/v1/stats/scorer"): ("viewer", READ, ""),
    ("GET", "/api/v1/tokens"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/tokens"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/tokens/<token>/revoke"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/train"): ("approver", TRAIN, ""),
    ("GET", "/api/v1/users"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/users"): ("admin", ADMIN, ""),
    ("PATCH", "/api/v1/users/<user>"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/users/<user>/password"): ("admin", ADMIN, ""),
    ("POST", "/api/v1/users/<user>/sign-out"): ("admin", ADMIN, ""),
    ("GET", "/bootstrap/static/<filename>"): (OPEN, (), ""),
    ("GET", "/console/<filename>"): (OPEN, (), ""),
    ("GET", "/devices/<gateway>/<device>/forecast"): ("viewer", READ, ""),
    ("GET", "/docs"): (OPEN, (), ""),
    ("GET", "/health"): (OPEN, (), ""),
    ("GET", "/login"): (OPEN, (), ""),
    ("POST", "/login"): (OPEN, (), ""),
    ("POST", "/logout"): ("viewer", READ, "person"),
    ("GET", "/metrics"): ("viewer", ("metrics", "read"), ""),
    ("GET", "/models"): ("viewer", READ, ""),
    ("GET", "/models/<profile>/<version>"): ("viewer", READ, ""),
    ("GET", "/models/<profile>/<version>/plots/<name>.svg"): ("viewer", READ, ""),
    ("POST", "/models/<profile>/<version>/push"): ("approver", PUSH, ""),
    ("GET", "/models/<profile>/orders"): ("approver", PUSH, ""),
    ("POST", "/models/<profile>/rollback"): ("approver", PUSH, ""),
    ("GET", "/models/<profile>/train"): ("approver", TRAIN, ""),
    ("POST", "/models/<profile>/train"): ("approver", TRAIN, ""),
    ("POST", "/models/<profile>/unload"): ("approver", PUSH, ""),
    ("GET", "/models/overview"): ("viewer", READ, ""),
    ("GET", "/openapi.json"): (OPEN, (), ""),
    ("GET", "/overview"): ("viewer", READ, ""),
    ("GET", "/ready"): (OPEN, (), ""),
    ("GET", "/settings/access"): ("admin", ADMIN, ""),
    ("POST", "/settings/tokens"): ("admin", ADMIN, ""),
    ("POST", "/settings/tokens/<token>/revoke"): ("admin", ADMIN, ""),
    ("POST", "/settings/users"): ("admin", ADMIN, ""),
    ("POST", "/settings/users/<user>/disable"): ("admin", ADMIN, ""),
    ("POST", "/settings/users/<user>/enable"): ("admin", ADMIN, ""),
    ("POST", "/settings/users/<user>/password"): ("admin", ADMIN, ""),
    ("POST", "/settings/users/<user>/role"): ("admin", ADMIN, ""),
    ("GET", "/alerts"): ("viewer", READ, ""),
    ("GET", "/alerts/<gateway>/<alert>"): ("viewer", READ, ""),
    ("POST", "/alerts/<gateway>/<alert>/act"): ("operator", ALERTS, ""),
    ("POST", "/alerts/bulk"): ("operator", ALERTS, ""),
    ("GET", "/devices"): ("viewer", READ, ""),
    ("GET", "/devices/<gateway>/<device>"): ("viewer", READ, ""),
    ("GET", "/devices/<gateway>/<device>/history.json"): ("viewer", READ, ""),
    ("GET", "/gateways"): ("viewer", READ, ""),
    ("GET", "/gateways/<gateway>"): ("viewer", READ, ""),
    ("GET", "/models/<profile>/compare"): ("viewer", READ, ""),
    ("GET", "/part/alerts"): ("viewer", READ, ""),
    ("GET", "/part/alerts/<gateway>/<alert>"): ("viewer", READ, ""),
    ("GET", "/part/devices"): ("viewer", READ, ""),
    ("GET", "/part/devices/<gateway>/<device>"): ("viewer", READ, ""),
    ("GET", "/part/gateways"): ("viewer", READ, ""),
    ("GET", "/part/gateways/<gateway>"): ("viewer", READ, ""),
    ("GET", "/settings"): ("viewer", READ, ""),
    ("GET", "/settings/audit"): ("admin", ADMIN, ""),
    ("GET", "/settings/channels"): ("admin", ADMIN, ""),
    ("POST", "/settings/channels"): ("admin", ADMIN, ""),
    ("POST", "/settings/channels/<channel>/remove"): ("admin", ADMIN, ""),
    ("POST", "/settings/channels/<channel>/switch"): ("admin", ADMIN, ""),
    ("POST", "/settings/channels/<channel>/test"): ("admin", ADMIN, ""),
    ("POST", "/settings/deliveries/<number>/retry"): ("admin", ADMIN, ""),
    ("POST", "/settings/maintenance"): ("operator", ALERTS, ""),
    ("POST", "/settings/maintenance/<number>/delete"): ("operator", ALERTS, ""),
    ("GET", "/settings/quiet"): ("viewer", READ, ""),
    ("GET", "/settings/retention"): ("viewer", READ, ""),
    ("POST", "/settings/retention"): ("admin", ADMIN, ""),
    ("GET", "/settings/routes"): ("admin", ADMIN, ""),
    ("POST", "/settings/routes"): ("admin", ADMIN, ""),
    ("POST", "/settings/routes/<route>/remove"): ("admin", ADMIN, ""),
    ("POST", "/settings/routes/<route>/switch"): ("admin", ADMIN, ""),
    ("GET", "/settings/severity"): ("viewer", READ, ""),
    ("POST", "/settings/severity"): ("admin", ADMIN, ""),
    ("POST", "/settings/silences"): ("operator", ALERTS, ""),
    ("POST", "/settings/silences/<number>/end"): ("operator", ALERTS, ""),
    ("GET", "/static/<filename>"): (OPEN, (), ""),
    ("GET", "/ws"): (OPEN, (), ""),
}
# Those that have to be signed in to are led there from a page that is read, and refused elsewhere.
PAGES = {"/", "/account", "/models", "/models/<profile>/<version>", "/models/<profile>/train",
         "/models/<profile>/orders", "/devices/<gateway>/<device>/forecast", "/settings/access",
         "/alerts", "/alerts/<gateway>/<alert>", "/devices", "/devices/<gateway>/<device>",
         "/gateways", "/gateways/<gateway>", "/models/<profile>/compare", "/settings",
         "/settings/audit", "/settings/channels", "/settings/quiet", "/settings/retention",
         "/settings/routes", "/settings/severity"}  # fmt: skip
# Names that nobody has, but that routes accept: they say that there is no such thing, and tell no stranger.
FILLED = {"<number>": "7", "<version>": "7"}


class World:
    """A hub with a user, a token and a session of every role."""

    def __init__(self, folder: Path) -> None:
        config = Config.model_validate({"hub": {"state_dir": str(folder)}})
        self.engine = open_database(config)
        self.app = web_application(config)
        self.tokens = {role: people.make_token(self.engine, f"{role}s", role) for role in ROLES}
        self.narrow = {scope: people.make_token(self.engine, scope, "admin", scope) for scope in SCOPES}
        for role in ROLES:
            people.add(self.engine, role, role)

    def by_token(self, method: str, rule: str, secret: str) -> int:
        return self._send(self.app.test_client(), method, rule, {"Authorization": f"Bearer {secret}"})

    def by_session(self, method: str, rule: str, user: str) -> int:
        client: Any = self.app.test_client()
        people.begin_session(client, self.engine, user)
        return self._send(client, method, rule, people.csrf_header(client))

    def by_nobody(self, method: str, rule: str) -> int:
        client: Any = self.app.test_client()
        return self._send(client, method, rule, people.csrf_header(client))

    def _send(self, client: Any, method: str, rule: str, headers: dict[str, str]) -> int:
        path = re.sub(r"<[^>]+>", lambda found: FILLED.get(found[0], "nobody"), rule)
        body: dict[str, Any] = {} if method == "GET" or not rule.startswith("/api/") else {"json": {}}
        answer = client.open(path, method=method, headers=headers, **body)
        if rule.startswith("/api/") and answer.status_code >= 400:
            assert set(answer.get_json()["error"]) == {"status", "code", "message", "fields"}
        return int(answer.status_code)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("hub"))
    yield made
    made.engine.dispose()


def shown(rule: str) -> str:
    """A rule without its converters."""
    return re.sub(r"<[^<>:]+:([^<>]+)>", r"<\1>", rule)


def test_every_route_has_its_row_here_and_every_row_a_route(world: World) -> None:
    routes = {
        (method, shown(rule.rule))
        for rule in world.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert routes == set(ROUTES)


@pytest.mark.parametrize(("method", "rule"), ROUTES, ids=[" ".join(route) for route in ROUTES])
def test_each_role_may_what_the_table_says_and_no_more(world: World, method: str, rule: str) -> None:
    needed, scopes, person = ROUTES[method, rule]
    nobody = world.by_nobody(method, rule)
    if needed == OPEN:
        # A sign-in without a name is refused as what it is.
        assert nobody == (401 if (method, rule) == ("POST", "/login") else nobody)
        assert nobody not in {403, 500}
        return
    assert nobody == (302 if method == "GET" and rule in PAGES else 401)
    for role in ROLES:
        enough = covers(role, needed)  # type: ignore[arg-type]  # a role, as it is not open
        by_session, by_token = world.by_session(method, rule, role), world.by_token(method, rule, world.tokens[role])
        assert (by_session not in {401, 403}) == enough, (role, by_session)
        assert (by_token not in {401, 403}) == (enough and not person), (role, by_token)
        assert by_session != 500 != by_token
    for scope in SCOPES:
        by_scope = world.by_token(method, rule, world.narrow[scope])
        assert (by_scope not in {401, 403}) == (scope in scopes and not person), (scope, by_scope)


def test_a_refusal_names_the_role_or_scope_that_is_needed(world: World) -> None:
    client = world.app.test_client()
    header = {"Authorization": f"Bearer {world.tokens['viewer']}"}
    answer = client.post("/api/v1/models/train", headers=header, json={"profile": "pump"})
    assert "role approver" in answer.get_json()["error"]["message"]
    header = {"Authorization": f"Bearer {world.narrow['read']}"}
    answer = client.post("/api/v1/models/train", headers=header, json={"profile": "pump"})
    assert "scope train" in answer.get_json()["error"]["message"]


def test_the_specification_says_what_each_route_needs(world: World) -> None:
    spec = world.app.test_client().get("/openapi.json").get_json()
    for (method, rule), (needed, _, person) in ROUTES.items():
        operation = spec["paths"].get(re.sub(r"<([^>]+)>", r"{\1}", rule), {}).get(method.lower())
        if operation is None:
            assert not rule.startswith("/api/")
            continue
        assert ("security" in operation) == (needed != OPEN)
        assert "429" in operation["responses"]
        if needed != OPEN:
            assert f"Role: {needed}." in operation["description"]
            assert {"401", "403"} <= set(operation["responses"])
            assert ({"token": []} in operation["security"]) == (not person)
    assert set(spec["components"]["securitySchemes"]) == {"token", "session"}


def test_a_route_that_does_not_say_who_may_call_it_cannot_be_registered(world: World) -> None:
    def view() -> str:
        return ""

    fresh: APIFlask = type(world.app)("fresh", docs_path=None)
    with pytest.raises(UndeclaredRouteError, match=r"'view' does not say who may call it"):
        fresh.add_url_rule("/view", view_func=view)
    part = APIBlueprint("part", __name__)
    part.get("/part")(view)
    with pytest.raises(UndeclaredRouteError, match=r"'part\.view' does not say"):
        fresh.register_blueprint(part)
    fresh.add_url_rule("/open", "opened", open_to_all("a test")(lambda: ""))
    fresh.add_url_rule("/closed", "closed", requires("viewer")(lambda: ""))


def test_a_declaration_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UndeclaredRouteError, match="name its scope"):
        requires("approver")
    with pytest.raises(UndeclaredRouteError, match="'push' is for approver"):
        requires("viewer", "push")
