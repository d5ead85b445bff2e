"""The console's page of users and tokens."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Engine

from tests.hub import people
from tests.hub.people import csrf_header, sign_in

HOSTILE = "<script>alert('x')</script>"


def secret(answer: Any) -> str:
    found = re.search(r'<code id="secret">([^<]+)</code>', answer.get_data(as_text=True))
    assert found
    return found[1]


def test_a_user_is_added_changed_and_disabled(browser: Any) -> None:
    header, other = csrf_header(browser), browser.application.test_client()
    added = browser.post("/settings/users", data={"name": "Ben", "role": "operator"}, headers=header)
    assert sign_in(other, "ben", secret(added)).status_code == 303
    assert browser.post("/settings/users/ben/role", data={"role": "viewer"}, headers=header).status_code == 303
    assert other.get("/account").status_code == 200
    again = secret(browser.post("/settings/users/ben/password", headers=header))
    assert other.get("/account").status_code == 302
    assert sign_in(other, "ben", again).status_code == 303
    assert browser.post("/settings/users/ben/disable", headers=header).status_code == 303
    assert other.get("/account").status_code == 302
    assert browser.post("/settings/users/ben/enable", headers=header).status_code == 303
    page = browser.get("/settings/access").get_data(as_text=True)
    assert again not in page
    assert "has to choose a password" in page


def test_a_token_is_made_and_revoked(browser: Any) -> None:
    header, other = csrf_header(browser), browser.application.test_client()
    form = {"name": HOSTILE, "role": "operator", "scope": ["read", "alerts"], "expires": "in 90 days"}
    made = secret(browser.post("/settings/tokens", data=form, headers=header))
    me = other.get("/api/v1/me", headers={"Authorization": f"Bearer {made}"}).get_json()
    assert (me["name"], me["role"], me["scopes"]) == (HOSTILE, "operator", ["read", "alerts"])
    page = browser.get("/settings/access").get_data(as_text=True)
    assert "<script>alert" not in page
    assert made not in page
    actions = re.findall(r'action="(/settings/tokens/[^"]+/revoke)"', page)
    assert len(actions) == 2
    assert browser.post(actions[1], headers=header).status_code == 303
    assert other.get("/api/v1/me", headers={"Authorization": f"Bearer {made}"}).status_code == 401


def test_what_cannot_be_done_is_said_on_the_page(browser: Any) -> None:
    header = csrf_header(browser)
    for path, form, status, words in (
        ("users", {"name": "two words", "role": "viewer"}, 409, "User name &#39;two words&#39;"),
        ("users", {"name": "ben", "role": "root"}, 422, "Role &#39;root&#39;"),
        ("users/ana/role", {"role": "viewer"}, 409, "is the only admin"),
        ("users/ana/disable", {}, 409, "is the only admin"),
        ("users/nobody/disable", {}, 404, "nothing at this address"),
        ("tokens", {"name": "", "role": "viewer"}, 409, "give it 1 to 256 characters"),
        ("tokens", {"name": "t", "role": "viewer", "scope": ["push"]}, 422, "it needs the role approver"),
        ("tokens/nothing/revoke", {}, 404, "nothing at this address"),
    ):
        answer = browser.post(f"/settings/{path}", data=form, headers=header)
        assert (answer.status_code, words in answer.get_data(as_text=True)) == (status, True), path


def test_only_admins_are_led_there(client: Any, engine: Engine) -> None:
    for name, role in (("ben", "approver"), ("ana", "admin")):
        people.add(engine, name, role)  # type: ignore[arg-type]  # a role
        people.begin_session(client, engine, name)
        assert ("/settings/access" in client.get("/settings").get_data(as_text=True)) == (role == "admin")
