"""Signing in, staying signed in, and everything that ends it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from tests.hub import people
from tests.hub.people import PASSWORD, csrf_header, csrf_token, sign_in
from vedette_hub import state
from vedette_hub.config import Config
from vedette_hub.identity import attempts, passwords
from vedette_hub.store import audit, schema, sessions, users
from vedette_hub.store.audit import AuditFilter
from vedette_hub.store.database import reading, writing
from vedette_hub.store.sessions import MOST_PER_USER

NEW = "another good one"


@pytest.fixture
def ana(engine: Engine) -> str:
    people.add(engine, "ana", "operator")
    return "ana"


def noted(engine: Engine, **chosen: Any) -> list[tuple[str, str, str, str]]:
    """(who, what, to what, outcome), the oldest first."""
    with reading(engine) as connection:
        found = audit.list_entries(connection, AuditFilter(**chosen), limit=100)
    return [(one.entry.by, one.entry.action, one.entry.target, one.entry.outcome) for one in reversed(found)]


def test_user_name_and_password_begin_a_session(client: Any, ana: str, engine: Engine) -> None:
    answer = sign_in(client, " ANA ")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert client.get("/api/v1/me").get_json()["name"] == ana
    assert noted(engine) == [("ana", "session.begin", "ana", "done")]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: Any, ana: str) -> None:
    cookie = sign_in(client, ana).headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_browsers_are_told_to_say_where_our_own_forms_come_from(client: Any) -> None:
    """With "no-referrer" they send "Origin: null", as for a page that hides where it comes from."""
    assert client.get("/login").headers["Referrer-Policy"] == "same-origin"


def test_signing_in_begins_a_session_of_its_own(client: Any, ana: str, engine: Engine) -> None:
    """What somebody put into the cookie before is worth nothing afterwards."""
    token = csrf_token(client.get("/login").get_data(as_text=True))
    people.add(engine, "eve", "viewer")
    people.begin_session(client, engine, "eve")
    with client.session_transaction() as cookie:
        before = dict(cookie)
    client.post("/logout", headers={"X-CSRFToken": token})
    sign_in(client, ana)
    with client.session_transaction() as cookie:
        assert cookie["session"] != before["session"]
        assert cookie.get("csrf_token") != before.get("csrf_token")


def test_unknown_wrong_and_disabled_are_answered_alike_after_the_same_work(
    client: Any, ana: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.add(engine, "ben", "viewer")
    people.add(engine, "root", "admin")
    with writing(engine) as connection:
        users.set_disabled(connection, "ben", 1.0)
    work: list[str] = []
    real = passwords.check_password_hash

    def counted(kept: str, password: str) -> bool:
        work.append(kept.split("$")[0])
        return real(kept, password)

    monkeypatch.setattr(passwords, "check_password_hash", counted)
    answers = [
        sign_in(client, name, password) for name, password in (("nobody", PASSWORD), (ana, "wrong"), ("ben", PASSWORD))
    ]

    assert {answer.status_code for answer in answers} == {401}
    texts = [answer.get_data(as_text=True) for answer in answers]
    assert all("User name and password do not belong together." in text for text in texts)
    assert work == ["scrypt:32768:8:1"] * 3


def test_a_name_that_nobody_has_is_not_kept(client: Any, ana: str, engine: Engine) -> None:
    """It may be a password that was typed into the wrong field."""
    sign_in(client, "hunter2hunter2")
    sign_in(client, ana, "wrong")

    assert noted(engine) == [
        ("nobody", "session.begin", "unknown user", "refused"),
        ("ana", "session.begin", "ana", "refused"),
    ]


def test_a_form_of_another_site_does_not_sign_in(client: Any, ana: str) -> None:
    form = {"user": ana, "password": PASSWORD}
    assert client.post("/login", data=form).status_code == 400
    token = csrf_token(client.get("/login").get_data(as_text=True))
    assert client.post("/login", data={**form, "csrf_token": "guess"}).status_code == 400
    assert client.post("/login", data={**form, "csrf_token": token + "x"}).status_code == 400
    assert client.get("/").status_code == 302


def test_failures_for_a_name_make_everybody_wait_whatever_their_address(
    client: Any, ana: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "check_password_hash", lambda _kept, password: password == PASSWORD)
    for number in range(config.web.sign_in_failures):
        client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        assert sign_in(client, ana, "wrong").status_code == 401
    client.environ_base["REMOTE_ADDR"] = "192.0.2.250"
    answer = sign_in(client, ana)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60 * attempts.WINDOW_MINUTES
    assert "Too many sign-ins have failed" in answer.get_data(as_text=True)


def test_failures_from_an_address_make_it_wait_whatever_the_name(
    client: Any, ana: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "check_password_hash", lambda _kept, password: password == PASSWORD)
    for number in range(config.web.sign_in_failures):
        assert sign_in(client, f"guess-{number}", "wrong").status_code == 401
    assert sign_in(client, ana).status_code == 429
    client.environ_base["REMOTE_ADDR"] = "192.0.2.1"
    assert sign_in(client, ana).status_code == 303


def test_success_forgets_the_failures_for_the_name(
    client: Any, ana: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "check_password_hash", lambda _kept, password: password == PASSWORD)
    for number in range(2 * config.web.sign_in_failures):
        client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        assert sign_in(client, ana, "wrong").status_code == 401
        assert sign_in(client, ana).status_code == 303
        client.post("/logout", headers=csrf_header(client))


@pytest.mark.parametrize("how", ["signing out", "everywhere", "password", "disabled", "by an admin", "time"])
def test_everything_that_ends_a_session_ends_its_copies_too(
    client: Any, ana: str, engine: Engine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.begin_session(client, engine, ana)
    with client.session_transaction() as cookie:
        stolen = cookie["session"]
    thief = client.application.test_client()
    with thief.session_transaction() as cookie:
        cookie["session"] = stolen
    assert thief.get("/api/v1/me").status_code == 200
    if how == "signing out":
        assert client.post("/logout", headers=csrf_header(client)).status_code == 303
    elif how == "everywhere":
        assert client.post("/account/sign-out", headers=csrf_header(client)).status_code == 303
    elif how == "password":
        form = {"current": PASSWORD, "password": NEW, "again": NEW}
        assert client.post("/account/password", headers=csrf_header(client), data=form).status_code == 303
        assert client.get("/api/v1/me").status_code == 200  # who changed it goes on, in a new session
    elif how == "time":
        later = time.time() + 3601.0
        monkeypatch.setattr("vedette_hub.api.context.Context.now", lambda _: later)
    elif how == "disabled":
        admin = {"Authorization": f"Bearer {client.token}"}
        assert thief.patch("/api/v1/users/ana", json={"disabled": True}, headers=admin).status_code == 200
    else:
        admin = {"Authorization": f"Bearer {client.token}"}
        assert thief.post("/api/v1/users/ana/sign-out", headers=admin).status_code == 200

    assert thief.get("/api/v1/me").status_code == 401
    assert thief.get("/").status_code == 302


def test_a_role_counts_from_the_next_request_on(client: Any, ana: str, engine: Engine) -> None:
    people.begin_session(client, engine, ana)
    assert client.get("/api/v1/users").status_code == 403
    with writing(engine) as connection:
        users.set_role(connection, ana, "admin")
    assert client.get("/api/v1/users").status_code == 200


def test_a_user_has_so_many_sessions_at_most(engine: Engine, ana: str) -> None:
    with writing(engine) as connection:
        user = users.get_user(connection, ana)
        secrets = [sessions.begin_session(connection, user, float(n), 1e9, "") for n in range(MOST_PER_USER + 5)]
        kept = [secret for secret in secrets if sessions.find_session(connection, secret, 100.0)]
        assert kept == secrets[5:]
        sessions.begin_session(connection, user, 2e9, 10.0, "")
        assert connection.execute(select(func.count()).select_from(schema.sessions)).scalar_one() == 1


def test_the_first_admin_chooses_a_password_before_anything_else(client: Any, config: Config, engine: Engine) -> None:
    assert state.first_user(config.state_dir, engine, 1.0)
    assert not state.first_user(config.state_dir, engine, 2.0)
    file = config.state_dir / state.PASSWORD_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    given = file.read_text().strip()
    assert str(file) in client.get("/login").get_data(as_text=True)
    assert sign_in(client, "admin", given).status_code == 303

    for path in ("/", "/models"):
        assert client.get(path).headers["Location"] == "/account"
    refused = client.get("/api/v1/alerts")
    assert (refused.status_code, "new password" in refused.get_json()["error"]["message"]) == (403, True)
    assert "Choose a password of your own" in client.get("/account").get_data(as_text=True)
    for form, status in (
        ({"current": given, "password": NEW, "again": "something else"}, 400),
        ({"current": "wrong", "password": NEW, "again": NEW}, 403),
        ({"current": given, "password": "short", "again": "short"}, 422),
        ({"current": given, "password": given, "again": given}, 422),
    ):
        assert client.post("/account/password", headers=csrf_header(client), data=form).status_code == status
    form = {"current": given, "password": NEW, "again": NEW}
    assert client.post("/account/password", headers=csrf_header(client), data=form).status_code == 303
    assert client.get("/").status_code == 200
    assert not file.exists()
    assert str(config.state_dir) not in client.application.test_client().get("/login").get_data(as_text=True)
    assert sign_in(client.application.test_client(), "admin", NEW).status_code == 303
    assert sign_in(client.application.test_client(), "admin", given).status_code == 401


def test_the_api_takes_a_session_where_the_header_shows_that_a_page_of_ours_asks(
    client: Any, ana: str, engine: Engine
) -> None:
    people.begin_session(client, engine, ana)
    path, body = "/api/v1/alerts/gw/a/acknowledge", {"comment": "on my way"}
    assert client.get("/api/v1/alerts").status_code == 200
    assert client.post(path, json=body).status_code == 400
    header = csrf_header(client)
    assert client.post(path, json=body, headers=header).status_code == 404
    other = client.application.test_client()
    people.begin_session(other, engine, ana)
    assert other.post(path, json=body, headers=header).status_code == 400, "a token of another session"
    by_token = {"Authorization": f"Bearer {client.token}"}
    assert client.application.test_client().post(path, json=body, headers=by_token).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://localhost"}, 404),
        ({"Origin": "http://localhost:80"}, 404),
        ({"Origin": "https://localhost"}, 404),  # a proxy ends HTTPS
        ({"Sec-Fetch-Site": "same-origin"}, 404),
        ({}, 404),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:81"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://evil.example@localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
    ids=str,
)
def test_another_sites_page_is_refused_even_with_a_good_token(
    client: Any, ana: str, engine: Engine, headers: dict[str, str], status: int
) -> None:
    people.begin_session(client, engine, ana)
    answer = client.post("/api/v1/alerts/gw/a/acknowledge", json={}, headers={**csrf_header(client), **headers})
    assert answer.status_code == status


def test_an_address_named_in_the_configuration_is_ours(tmp_path: Any) -> None:
    from vedette_hub.hub import open_database, web_application

    config = Config.model_validate(
        {"hub": {"state_dir": str(tmp_path)}, "web": {"origins": ["https://hub.example.org"]}}
    )
    engine = open_database(config)
    people.add(engine, "ana", "operator")
    client: Any = web_application(config).test_client()
    people.begin_session(client, engine, "ana")
    headers = {**csrf_header(client), "Origin": "https://hub.example.org"}
    assert client.post("/api/v1/alerts/gw/a/acknowledge", json={}, headers=headers).status_code == 404
    headers["Origin"] = "https://other.example.org"
    refused = client.post("/api/v1/alerts/gw/a/acknowledge", json={}, headers=headers)
    assert "web.origins" in refused.get_json()["error"]["message"]
    engine.dispose()
