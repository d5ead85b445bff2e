"""`vedette-hub user` and `token`: who may use the hub, said on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vedette_hub import state
from vedette_hub.cli import main
from vedette_hub.config import Config
from vedette_hub.hub import open_database
from vedette_hub.identity.passwords import verify
from vedette_hub.store import audit, users
from vedette_hub.store.audit import AuditFilter
from vedette_hub.store.database import reading

PASSWORD = "correct horse battery"


class CommandLine:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "hub.toml"
        self.path.write_text('[hub]\nstate_dir = "state"\n')
        self.config = Config.model_validate({"hub": {"state_dir": str(folder / "state")}})

    def __call__(self, *arguments: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(main, [*arguments, "--config", str(self.path)], input=typed)

    def right(self, name: str, password: str) -> bool:
        with reading(open_database(self.config)) as connection:
            found = users.find_for_sign_in(connection, name)
        return found is not None and verify(found[1], password)

    def users(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("user", "list", "--json").stdout)
        return found


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_users_are_added_listed_changed_and_disabled(command_line: CommandLine) -> None:
    assert "no users yet" in command_line("user", "list").stderr
    added = command_line("user", "add", "Ana", "--role", "admin", typed=PASSWORD + "\n")
    assert (added.exit_code, added.stdout) == (0, "")
    assert command_line.right("ana", PASSWORD)
    assert command_line("user", "add", "ben", typed=PASSWORD + "\n").exit_code == 0
    assert command_line("user", "role", "ben", "operator").exit_code == 0
    assert command_line("user", "disable", "ben").exit_code == 0
    assert not command_line.right("ben", PASSWORD)
    assert command_line("user", "enable", "ben").exit_code == 0
    assert [(one["name"], one["role"], one["password_due"]) for one in command_line.users()] == [
        ("ana", "admin", False),
        ("ben", "operator", False),
    ]
    assert PASSWORD not in command_line("user", "list", "--json").stdout
    with reading(open_database(command_line.config)) as connection:
        noted = audit.list_entries(connection, AuditFilter(), limit=10)
    assert [(one.entry.action, one.entry.target) for one in reversed(noted)] == [
        ("user.add", "ana"),
        ("user.add", "ben"),
        ("user.role", "ben"),
        ("user.disable", "ben"),
        ("user.enable", "ben"),
    ]
    assert {one.entry.by.endswith("(command line)") for one in noted} == {True}


def test_a_made_password_is_printed_alone_and_due(command_line: CommandLine) -> None:
    made = command_line("user", "add", "ben", "--generate")
    assert command_line.right("ben", made.stdout.strip())
    assert command_line.users()[0]["password_due"] is True
    other = command_line("user", "password", "ben", "--generate")
    assert other.stdout != made.stdout
    assert command_line.right("ben", other.stdout.strip())
    assert command_line("user", "password", "ben", typed=PASSWORD + "\n").exit_code == 0
    assert command_line.right("ben", PASSWORD)
    assert command_line.users()[0]["password_due"] is False
    assert "has never signed in" in command_line("user", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "typed", "words"),
    [
        (("user", "add", "two words"), PASSWORD, "write 1 to 64 letters"),
        (("user", "add", "ana"), PASSWORD, "there is one already"),
        (("user", "add", "ben"), "short", "10 to 256 characters"),
        (("user", "add", "ben"), "", "10 to 256 characters"),
        (("user", "add", "benjaminus"), "benjaminus", "must not be the user's name"),
        (("user", "password", "nobody"), PASSWORD, "there is no user 'nobody'"),
        (("user", "role", "nobody", "viewer"), None, "there is no user 'nobody'"),
        (("user", "role", "ana", "viewer"), None, "the only admin"),
        (("user", "disable", "ana"), None, "the only admin"),
        (("token", "create", " "), None, "give it 1 to 256 characters"),
        (("token", "create", "t", "--scope", "push"), None, "it needs the role approver"),
        (("token", "create", "t", "--expires", "soon"), None, "such as 12h or 90d"),
        (("token", "create", "t", "--expires", "0d"), None, "such as 12h or 90d"),
        (("token", "revoke", "nothing"), None, "no such token"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    command_line: CommandLine, arguments: tuple[str, ...], typed: str | None, words: str
) -> None:
    assert command_line("user", "add", "ana", "--role", "admin", typed=PASSWORD + "\n").exit_code == 0
    result = command_line(*arguments, typed=None if typed is None else typed + "\n")
    assert (result.exit_code, words in result.stderr, "Traceback" in result.output) == (1, True, False), result.stderr


def test_a_role_or_scope_that_there_is_not_is_refused_with_those_there_are(command_line: CommandLine) -> None:
    for arguments in (("user", "role", "ana", "root"), ("token", "create", "t", "--scope", "all")):
        result = command_line(*arguments)
        assert (result.exit_code, "admin" in result.stderr) == (2, True)


def test_a_token_says_what_it_may_and_until_when(command_line: CommandLine) -> None:
    made = command_line("token", "create", "prometheus", "--scope", "metrics", "--expires", "90d")
    assert made.stdout.startswith("vedette_")
    (found,) = json.loads(command_line("token", "list", "--json").stdout)
    assert (found["role"], found["scopes"]) == ("viewer", ["metrics"])
    assert found["expires"] - found["created"] == 90 * 86_400.0
    assert found["by"].endswith("(command line)")
    assert "viewer: metrics" in command_line("token", "list").stdout


def test_the_first_password_is_forgotten_when_another_is_chosen(command_line: CommandLine) -> None:
    config = command_line.config
    assert state.first_user(config.state_dir, open_database(config), 1.0)
    file = config.state_dir / state.PASSWORD_FILE
    assert command_line.right("admin", file.read_text().strip())
    assert command_line("user", "password", "admin", typed=PASSWORD + "\n").exit_code == 0
    assert not file.exists()


def test_a_crash_between_file_and_store_loses_no_first_password(command_line: CommandLine) -> None:
    config = command_line.config
    engine = open_database(config)
    config.state_dir.mkdir(exist_ok=True)
    (config.state_dir / state.PASSWORD_FILE).write_text("written before the crash\n")
    assert state.first_user(config.state_dir, engine, 1.0)
    assert command_line.right("admin", "written before the crash")
