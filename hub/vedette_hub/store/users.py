"""Users: added, given a password and a role, disabled. Never deleted: histories name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from vedette_hub.errors import HubError
from vedette_hub.identity.roles import Role, parse_role
from vedette_hub.store.schema import sessions, users

MOST_USERS = 1_000
"""Users there can be, disabled ones included."""
NAME_FORM = r"^[a-z0-9][a-z0-9._@+-]{0,63}$"

_NAME = re.compile(NAME_FORM)


class UserError(HubError):
    """A user that cannot be added or changed as asked."""


class UnknownUserError(UserError):
    """There is no such user."""


@dataclass(frozen=True)
class User:
    """A user without the password."""

    number: int
    name: str
    role: Role
    password_due: bool
    """The password must be changed before anything else is done."""
    created: float
    last_sign_in: float | None
    disabled: float | None


def normal(name: str) -> str:
    """A name as it is kept: users are the same whatever case they write it in."""
    return name.strip().lower()


def add_user(connection: Connection, name: str, kept: str, role: Role, now: float, *, password_due: bool) -> User:
    """Add a user with the hash of a password.

    Raises:
        UserError: the name cannot be one or is taken, or there are too many users.
    """
    name = normal(name)
    if not _NAME.match(name):
        raise UserError(
            f"user name {name!r}: write 1 to 64 letters a–z, digits and . _ @ + -, the first a letter or digit"
        )
    if connection.execute(select(func.count()).select_from(users)).scalar_one() >= MOST_USERS:
        raise UserError(f"user {name!r}: there are {MOST_USERS} users already, which is as many as there can be")
    values = {"name": name, "password": kept, "password_due": password_due, "password_set": now, "role": role}
    try:
        with connection.begin_nested():
            connection.execute(insert(users).values(**values, created=now))
    except IntegrityError as error:
        raise UserError(f"user {name!r}: there is one already") from error
    return get_user(connection, name)


def get_user(connection: Connection, name: str) -> User:
    """The user with a name.

    Raises:
        UnknownUserError: there is none.
    """
    row = connection.execute(select(users).where(users.c.name == normal(name))).first()
    if row is None:
        raise UnknownUserError(f"there is no user {name!r}")
    return user_of(row)


def find_for_sign_in(connection: Connection, name: str) -> tuple[User, str] | None:
    """(the user, the hash of their password); None where there is none, or they are disabled."""
    row = connection.execute(select(users).where(users.c.name == normal(name), users.c.disabled.is_(None))).first()
    return None if row is None else (user_of(row), row.password)


def list_users(connection: Connection) -> list[User]:
    """All users by name, disabled ones too."""
    return [user_of(row) for row in connection.execute(select(users).order_by(users.c.name))]


def count_users(connection: Connection) -> int:
    """How many users there are, disabled ones too."""
    return int(connection.execute(select(func.count()).select_from(users)).scalar_one())


def set_password(connection: Connection, name: str, kept: str, now: float, *, password_due: bool) -> User:
    """Give a user another password, by its hash; all their sessions end.

    Raises:
        UnknownUserError: there is no such user.
    """
    user = get_user(connection, name)
    _change(connection, user, password=kept, password_due=password_due, password_set=now)
    end_sessions(connection, user.number)
    return get_user(connection, name)


def set_role(connection: Connection, name: str, role: Role) -> User:
    """Give a user another role, which counts from their next request on.

    Raises:
        UserError: there is no such user, or they are the last admin.
    """
    user = get_user(connection, name)
    if role != "admin":
        _refuse_last_admin(connection, user, "give another user the role admin first")
    _change(connection, user, role=role)
    return get_user(connection, name)


def set_disabled(connection: Connection, name: str, disabled: float | None) -> User:
    """Disable a user since a time, which ends all their sessions; or, with None, enable them again.

    Raises:
        UserError: there is no such user, or they are the last admin.
    """
    user = get_user(connection, name)
    if disabled is not None:
        _refuse_last_admin(connection, user, "give another user the role admin first")
        end_sessions(connection, user.number)
    _change(connection, user, disabled=disabled)
    return get_user(connection, name)


def note_sign_in(connection: Connection, user: User, now: float) -> None:
    """Write down when a user signed in."""
    _change(connection, user, last_sign_in=now)


def end_sessions(connection: Connection, number: int) -> int:
    """End all sessions of the user with a number; how many there were."""
    return connection.execute(delete(sessions).where(sessions.c.user == number)).rowcount


def user_of(row: Row[Any]) -> User:
    """A row of the table as a user."""
    return User(
        row.number,
        row.name,
        parse_role(row.role),
        row.password_due,
        row.created,
        row.last_sign_in,
        row.disabled,
    )


def _change(connection: Connection, user: User, **values: Any) -> None:
    connection.execute(update(users).where(users.c.number == user.number).values(**values))


def _refuse_last_admin(connection: Connection, user: User, hint: str) -> None:
    admins = select(func.count()).select_from(users).where(users.c.role == "admin", users.c.disabled.is_(None))
    if user.role == "admin" and user.disabled is None and connection.execute(admins).scalar_one() <= 1:
        raise UserError(f"user {user.name!r} is the only admin; {hint}")
