"""Signing in with user name and password, changing the password, and what slows down guessing."""

from __future__ import annotations

import threading

from flask import current_app, request

from vedette_hub import state
from vedette_hub.api import session
from vedette_hub.api.auditing import note, note_alone
from vedette_hub.api.caller import Caller, who
from vedette_hub.api.context import context
from vedette_hub.errors import HubError
from vedette_hub.identity import passwords
from vedette_hub.identity.attempts import Attempts
from vedette_hub.store import users
from vedette_hub.store.database import reading, writing
from vedette_hub.store.users import User

_EXTENSION = "vedette-attempts"
_UNKNOWN = "unknown user"
"""In the audit log, for a name that nobody has: it may be a password in the wrong field."""


class WrongPasswordError(HubError):
    """Unknown user, wrong password, disabled user: which of them it was is nobody's business."""

    def __init__(self) -> None:
        super().__init__("User name and password do not belong together.")


class TooManyFailuresError(HubError):
    """Too many sign-ins have failed for this name or from this address; it was not tried."""

    def __init__(self, retry_after: int) -> None:
        minutes = -(-retry_after // 60)
        super().__init__(f"Too many sign-ins have failed. Try again in {minutes} minute{'s' * (minutes > 1)}.")
        self.retry_after = retry_after


def attempts() -> Attempts:
    """The count of failures of the application that handles this request."""
    with _making:
        found = current_app.extensions.get(_EXTENSION)
        if not isinstance(found, Attempts):
            found = current_app.extensions[_EXTENSION] = Attempts(context().config.web.sign_in_failures)
        return found


_making = threading.Lock()


def sign_in(name: str, password: str) -> User:
    """Begin a session.

    Raises:
        WrongPasswordError: user name and password do not belong together.
        TooManyFailuresError: it was not even tried.
    """
    user = _proven(users.normal(name), password, "session.begin")
    with writing(context().engine) as connection:
        session.begin(user)
        note(connection, "session.begin", user.name, by=user.name)
    return user


def change_password(found: Caller, current: str, new: str) -> None:
    """Change the caller's own password; their other sessions end, and a new one begins here.

    Raises:
        WrongPasswordError: the current password is another one.
        TooManyFailuresError: it was not even tried.
        PasswordError: the new one cannot be used.
    """
    passwords.check(new, found.name)
    _proven(found.name, current, "user.password")
    if new == current:
        raise passwords.PasswordError("the new password must be another one than the current")
    here, kept = context(), passwords.hashed(new)
    with writing(here.engine) as connection:
        user = users.set_password(connection, found.name, kept, here.now(), password_due=False)
        session.begin(user)
        note(connection, "user.password", found.name, by=who())
    if user.name == state.FIRST_USER_NAME:
        state.forget_first_password(here.state_dir)


def _proven(name: str, password: str, action: str) -> User:
    """The user of this name and password; counts and notes what fails."""
    counted, address, here = attempts(), request.remote_addr or "", context()
    if seconds := counted.wait(name, address):
        raise TooManyFailuresError(seconds)
    with reading(here.engine) as connection:
        found = users.find_for_sign_in(connection, name)
    if not passwords.verify(found[1] if found else None, password) or found is None:
        counted.failed(name, address)
        known = _exists(name)
        note_alone(action, name if known else _UNKNOWN, outcome="refused", by=name if known else None)
        raise WrongPasswordError
    counted.succeeded(name)
    return found[0]


def _exists(name: str) -> bool:
    with reading(context().engine) as connection:
        try:
            users.get_user(connection, name)
        except users.UnknownUserError:
            return False
    return True
