"""Too many requests are told so, in the one error shape, and when there is room again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import people
from vedette_hub.config import Config
from vedette_hub.hub import open_database, web_application

Make = Callable[..., Any]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A test client of a hub with these limits; `client.tokens` are two tokens."""
    engines = []

    def make(**web: int) -> Any:
        config = Config.model_validate({"hub": {"state_dir": str(tmp_path)}, "web": web})
        engine = open_database(config)
        engines.append(engine)
        client: Any = web_application(config).test_client()
        client.tokens = [people.make_token(engine, name, "viewer") for name in ("one", "two")]
        return client

    yield make
    for engine in engines:
        engine.dispose()


def ask(client: Any, address: str, secret: str = "", path: str = "/api/v1/me") -> Any:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return client.get(path, headers=headers, environ_base={"REMOTE_ADDR": address})


def test_an_address_may_ask_so_often_and_others_are_not_concerned(make: Make) -> None:
    client = make(requests_per_minute=5)
    for number in range(5):
        assert ask(client, "192.0.2.1", path="/health" if number % 2 else "/login").status_code == 200
    answer = ask(client, "192.0.2.1", client.tokens[0])

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert set(answer.get_json()["error"]) == {"status", "code", "message", "fields"}
    assert answer.headers["Content-Security-Policy"]
    assert "text/html" in ask(client, "192.0.2.1", path="/login").headers["Content-Type"]
    assert ask(client, "192.0.2.2", client.tokens[0]).status_code == 200


def test_a_token_may_ask_so_often_from_wherever_and_others_are_not_concerned(make: Make) -> None:
    client = make(requests_per_minute=5)
    for number in range(5):
        assert ask(client, f"192.0.2.{number}", client.tokens[0]).status_code == 200
    assert ask(client, "192.0.2.99", client.tokens[0]).status_code == 429
    assert ask(client, "192.0.2.99", client.tokens[1]).status_code == 200


def test_guessing_tokens_ends_soon_and_right_ones_are_not_counted(make: Make) -> None:
    client = make(failures_per_minute=5)
    for _ in range(20):
        assert ask(client, "192.0.2.1", client.tokens[0]).status_code == 200
    for number in range(5):
        assert ask(client, "192.0.2.1", f"vedette_{number:043}").status_code == 401
    assert ask(client, "192.0.2.1", "vedette_" + "x" * 43).status_code == 429
    assert ask(client, "192.0.2.2", "vedette_" + "x" * 43).status_code == 401


def test_who_was_known_before_is_not_locked_out_by_others_at_their_address(make: Make) -> None:
    client = make(failures_per_minute=5)
    assert ask(client, "192.0.2.1", client.tokens[0]).status_code == 200
    for _ in range(6):
        ask(client, "192.0.2.1", "nonsense")
    assert ask(client, "192.0.2.1", "nonsense").status_code == 429
    assert ask(client, "192.0.2.1", client.tokens[0]).status_code == 200
    assert ask(client, "192.0.2.1", client.tokens[1]).status_code == 429


def test_who_asks_too_often_for_what_is_not_for_them_has_to_wait(make: Make) -> None:
    """Each refusal of a write is an entry in the audit log."""
    client = make(failures_per_minute=5)
    for number in range(5):
        assert ask(client, f"192.0.2.{number}", client.tokens[0], "/api/v1/users").status_code == 403
    assert ask(client, "192.0.2.99", client.tokens[0], "/api/v1/users").status_code == 429
    assert ask(client, "192.0.2.99", client.tokens[1], "/api/v1/users").status_code == 403


def test_a_network_of_ipv6_counts_as_one_address(make: Make) -> None:
    client = make(requests_per_minute=5)
    for number in range(5):
        assert ask(client, f"2001:db8:1:2::{number}", path="/health").status_code == 200
    assert ask(client, "2001:db8:1:2:ffff::1", path="/health").status_code == 429
    assert ask(client, "2001:db8:1:3::1", path="/health").status_code == 200
    assert ask(client, "::ffff:192.0.2.1", path="/health").status_code == 200


def test_nobody_honest_meets_the_defaults(make: Make) -> None:
    client = make()
    assert {ask(client, "192.0.2.1", client.tokens[0]).status_code for _ in range(400)} == {200}
