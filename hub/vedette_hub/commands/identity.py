"""`vedette-hub user`, `token`: who may use the hub, and what for."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vedette_hub.command_line import config_option, load_config, note, reported
from vedette_hub.command_line import user as whoever
from vedette_hub.errors import HubError
from vedette_hub.identity.roles import RIGHTS, ROLES, SCOPES, Role, parse_role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from vedette_hub.store.tokens import Token
    from vedette_hub.store.users import User

_ROLE = click.Choice(ROLES)
_RIGHTS = "\n\n\b\n" + "\n".join(f"{role:9} {what}" for role, what in RIGHTS.items())
_DAY = 86_400.0
_LENGTH = re.compile(r"^(\d{1,5})([hd])$")


@click.group()
def user() -> None:
    """Users: people who sign in to the console."""


@user.command("add", help="Add a user called NAME." + _RIGHTS)
@click.argument("name")
@click.option("--role", type=_ROLE, default="viewer", show_default=True, help="What the user may do.")
@click.option("--generate", is_flag=True, help="Make a password, print it, and have it changed at the first sign-in.")
@config_option
@reported
def add_user(name: str, *, role: str, generate: bool, path: Path | None) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    from vedette_hub.identity import passwords
    from vedette_hub.store import users

    password = _password(name, generate=generate)
    kept = passwords.hashed(password)
    with _writing(path) as connection:
        added = users.add_user(connection, name, kept, parse_role(role), time.time(), password_due=generate)
        note(connection, "user.add", added.name, f"role {role}")
    click.echo(f"User {added.name!r}, {role}, may sign in.", err=True)
    _show(password, generate=generate)


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
@reported
def list_users(*, as_json: bool, path: Path | None) -> None:
    """List users by name."""
    from vedette_hub import hub
    from vedette_hub.store import users
    from vedette_hub.store.database import reading

    with reading(hub.open_database(load_config(path))) as connection:
        found = users.list_users(connection)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        click.echo(f"{one.name}\t{one.role}\t{_state(one)}")
    if not found:
        click.echo("There are no users yet; `vedette-hub serve` makes the first one.", err=True)


@user.command("password")
@click.argument("name")
@click.option("--generate", is_flag=True, help="Make a password, print it, and have it changed at the next sign-in.")
@config_option
@reported
def set_password(name: str, *, generate: bool, path: Path | None) -> None:
    """Give NAME another password, which is asked for or read from standard input; all their sessions end."""
    from vedette_hub import state
    from vedette_hub.identity import passwords
    from vedette_hub.store import users

    password = _password(name, generate=generate)
    kept = passwords.hashed(password)
    with _writing(path) as connection:
        changed = users.set_password(connection, name, kept, time.time(), password_due=generate)
        note(connection, "user.password", changed.name)
    if changed.name == state.FIRST_USER_NAME:
        state.forget_first_password(load_config(path).state_dir)
    click.echo(f"User {changed.name!r} has another password; all their sessions have ended.", err=True)
    _show(password, generate=generate)


@user.command("role", help="Give NAME another ROLE, from their next click on." + _RIGHTS)
@click.argument("name")
@click.argument("role", type=_ROLE)
@config_option
@reported
def set_role(name: str, role: str, path: Path | None) -> None:
    """Give a user another role."""
    from vedette_hub.store import users

    with _writing(path) as connection:
        changed = users.set_role(connection, name, parse_role(role))
        note(connection, "user.role", changed.name, f"role {role}")
    click.echo(f"User {changed.name!r} is {role}.", err=True)


@user.command("disable")
@click.argument("name")
@config_option
@reported
def disable(name: str, path: Path | None) -> None:
    """Let NAME sign in no more, and end all their sessions; API tokens go on working."""
    _set_disabled(path, name, time.time())


@user.command("enable")
@click.argument("name")
@config_option
@reported
def enable(name: str, path: Path | None) -> None:
    """Let NAME sign in again."""
    _set_disabled(path, name, None)


@click.group()
def token() -> None:
    """API tokens: what programs sign in with."""


@token.command("create")
@click.argument("name")
@click.option("--role", type=_ROLE, default="viewer", show_default=True, help="What the token may do.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Only this of it; may be repeated.")
@click.option("--expires", metavar="TIME", help="Useless after so long, such as 12h or 90d; never without it.")
@config_option
@reported
def create_token(name: str, *, role: Role, scopes: tuple[str, ...], expires: str | None, path: Path | None) -> None:
    """Make a token called NAME; it is printed once and kept as a hash only."""
    from vedette_hub.store import tokens

    secret, now = tokens.new_secret(), time.time()
    end = None if expires is None else now + _seconds(expires)
    with _writing(path) as connection:
        tokens.add_token(connection, name, secret, now, role=role, scopes=scopes, expires=end, by=whoever())
        note(connection, "token.add", name, f"role {role}" + (f", scopes {', '.join(scopes)}" if scopes else ""))
    click.echo(f"Token {name!r}, {role}, shown this once:", err=True)
    click.echo(secret)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_option
@reported
def list_tokens(*, as_json: bool, path: Path | None) -> None:
    """List tokens, without their secrets."""
    from vedette_hub import hub
    from vedette_hub.store import tokens
    from vedette_hub.store.database import reading
    from vedette_hub.times import rfc3339

    with reading(hub.open_database(load_config(path))) as connection:
        found = tokens.list_tokens(connection)
    if as_json:
        click.echo(json.dumps([asdict(item) for item in found]))
        return
    for item in found:
        may = item.role if item.scopes is None else f"{item.role}: {', '.join(item.scopes)}"
        click.echo(f"{item.name}\t{may}\tmade {rfc3339(item.created)}\t{_standing(item)}")
    if not found:
        click.echo("There are no tokens yet; `vedette-hub serve` makes the first one.", err=True)


@token.command("revoke")
@click.argument("name")
@config_option
@reported
def revoke_token(name: str, path: Path | None) -> None:
    """Make the token called NAME useless at once."""
    from vedette_hub.store import tokens

    with _writing(path) as connection:
        tokens.revoke_token(connection, name, time.time())
        note(connection, "token.revoke", name)
    click.echo(f"Token {name!r} is revoked.", err=True)


def _set_disabled(path: Path | None, name: str, disabled: float | None) -> None:
    from vedette_hub.store import users

    what = "disable" if disabled is not None else "enable"
    with _writing(path) as connection:
        changed = users.set_disabled(connection, name, disabled)
        note(connection, f"user.{what}", changed.name)
    click.echo(f"User {changed.name!r} is {what}d.", err=True)


@contextmanager
def _writing(path: Path | None) -> Iterator[Connection]:
    from vedette_hub import hub
    from vedette_hub.store.database import writing

    with writing(hub.open_database(load_config(path))) as connection:
        yield connection


def _password(name: str, *, generate: bool) -> str:
    from vedette_hub.identity import passwords

    if generate:
        return passwords.generate()
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    passwords.check(password, name)
    return password


def _show(password: str, *, generate: bool) -> None:
    if generate:
        click.echo("Password, shown this once, to be changed at the first sign-in:", err=True)
        click.echo(password)


def _seconds(text: str) -> float:
    found = _LENGTH.match(text)
    if found is None or int(found[1]) == 0:
        raise HubError(f"--expires {text!r}: write a number with h or d behind it, such as 12h or 90d")
    return int(found[1]) * (3_600.0 if found[2] == "h" else _DAY)


def _state(one: User) -> str:
    from vedette_hub.times import rfc3339

    if one.disabled is not None:
        return f"disabled {rfc3339(one.disabled)}"
    last = f"last sign-in {rfc3339(one.last_sign_in)}" if one.last_sign_in else "has never signed in"
    return last + ("; has to choose a password" if one.password_due else "")


def _standing(item: Token) -> str:
    from vedette_hub.times import rfc3339

    if item.revoked:
        return f"revoked {rfc3339(item.revoked)}"
    end = f", expires {rfc3339(item.expires)}" if item.expires else ""
    return (f"last used {rfc3339(item.last_used)}" if item.last_used else "never used") + end
