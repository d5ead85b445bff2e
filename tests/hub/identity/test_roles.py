"""Each role may what those before it may; a scope narrows, and never widens."""

from __future__ import annotations

import threading

import pytest

from tests.hub.gateway import wait_for
from vedette_hub.identity import passwords
from vedette_hub.identity.passwords import LONGEST, BusyError, PasswordError, check, generate, hashed, verify
from vedette_hub.identity.roles import LEAST_ROLE, RIGHTS, ROLES, SCOPES, RoleError, covers, parse_role, parse_scopes


def test_roles_are_in_one_line() -> None:
    assert ROLES == ("viewer", "operator", "approver", "admin")
    for place, role in enumerate(ROLES):
        assert [covers(role, other) for other in ROLES] == [n <= place for n in range(4)]
    assert set(RIGHTS) == set(ROLES)
    assert set(LEAST_ROLE) == set(SCOPES)


def test_scopes_need_their_role() -> None:
    assert parse_scopes([], "viewer") is None
    assert parse_scopes(["push", "read", "push"], "approver") == ("read", "push")
    with pytest.raises(RoleError, match="'admin': it needs the role admin, and the token has approver"):
        parse_scopes(["admin"], "approver")
    with pytest.raises(RoleError, match="'all': there is none"):
        parse_scopes(["all"], "admin")
    with pytest.raises(RoleError, match="'root': there is none"):
        parse_role("root")


def test_a_password_is_kept_as_a_slow_hash_with_a_salt() -> None:
    kept = hashed("correct horse battery")
    assert kept.startswith("scrypt:32768:8:1$")
    assert kept != hashed("correct horse battery")
    assert verify(kept, "correct horse battery")
    assert not verify(kept, "correct horse batterY")
    assert not verify(None, "correct horse battery")
    long = "x" * LONGEST
    assert not verify(hashed(long), long + "x")


def test_passwords_that_are_made_are_good_and_differ() -> None:
    made = {generate() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check(password, "ana")


@pytest.mark.parametrize("password", ["", "short", "x" * (LONGEST + 1), "Anamarieke", "anamariekeanamarieke"])
def test_some_cannot_be_chosen(password: str) -> None:
    with pytest.raises(PasswordError):
        check(password, "anamarieke")


def test_only_a_few_passwords_are_looked_at_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest are sent away at once, so that other requests are still answered."""
    going, go_on = threading.Semaphore(0), threading.Event()

    def slow(*_: str) -> bool:
        going.release()
        return go_on.wait(30.0)

    monkeypatch.setattr(passwords, "check_password_hash", slow)
    threads = [threading.Thread(target=verify, args=("kept", "password")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        assert going.acquire(timeout=30.0)

    def sent_away() -> bool:
        try:
            verify("kept", "password")
        except BusyError:
            return True
        return False

    wait_for(lambda: passwords._WAITING._value == 0, "the other two stand in line")
    assert sent_away()
    go_on.set()
    for thread in threads:
        thread.join()
    assert verify("kept", "password")
