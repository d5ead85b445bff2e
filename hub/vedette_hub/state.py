"""The state directory: made for the hub alone, locked by the one that serves, with its secrets."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from nacl.signing import SigningKey
from sqlalchemy import Engine

from vedette_hub.errors import HubError
from vedette_hub.store import audit, tokens, users
from vedette_hub.store.audit import BY_THE_HUB, Entry
from vedette_hub.store.database import reading, writing
from vedette_models.keys import KeyFileError, parse_signing_key, private_line

TOKEN_FILE = "api-token"  # noqa: S105  # the name of a file
PASSWORD_FILE = "admin-password"  # noqa: S105  # the name of a file
FIRST_USER_NAME = "admin"
KEY_FILE = "session-key"
SIGNING_KEY_FILE = "signing-key"
CHANNEL_KEY_FILE = "channel-key"
FIRST_TOKEN_NAME = "first"  # noqa: S105  # the name of a token


class StateError(HubError):
    """The state directory cannot be used."""


def prepare(state_dir: Path) -> None:
    """Make the state directory if it is missing, readable for its owner only.

    Raises:
        StateError: it cannot be made or written to.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"state directory {state_dir}: {error.strerror}; set hub.state_dir to a folder of yours"
        ) from error
    if not os.access(state_dir, os.W_OK | os.X_OK):
        raise StateError(f"state directory {state_dir}: this user may not write there; set hub.state_dir, or chown it")


def lock(state_dir: Path) -> IO[str]:
    """Hold the state directory until the process ends, however it ends.

    Raises:
        StateError: another hub holds it.
    """
    file = (state_dir / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StateError(f"state directory {state_dir}: another vedette-hub serves it (process {holder})") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def session_key(state_dir: Path) -> bytes:
    """The key that signs the console's cookies; made at the first start."""
    return _secret(state_dir / KEY_FILE, lambda: os.urandom(32).hex()).encode()


def channel_key(state_dir: Path) -> bytes:
    """The key that encrypts secrets of channels in the database, 32 bytes; made when it is first needed.

    Raises:
        StateError: its file cannot be read or written, or is damaged.
    """
    path = state_dir / CHANNEL_KEY_FILE
    try:
        key = bytes.fromhex(_secret(path, lambda: os.urandom(32).hex()))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise StateError(f"{path}: holds no key; restore it from a backup")
    return key


def signing_key(state_dir: Path) -> SigningKey:
    """The key that signs manifests.

    Raises:
        StateError: it is not there (it is never made in passing: gateways trust the one they were given), or damaged.
    """
    path = state_dir / SIGNING_KEY_FILE
    try:
        return parse_signing_key(path.read_text())
    except FileNotFoundError:
        raise StateError(
            f"{path}: there is no signing key, so no gateway can be told anything; restore it from a backup. On a new "
            "hub `vedette-hub serve` makes it; if it is lost for good, see `vedette-hub key new --help`"
        ) from None
    except (OSError, UnicodeDecodeError, KeyFileError) as error:
        raise StateError(f"{path}: {error}; restore it from a backup") from error


def new_signing_key(state_dir: Path, remark: str) -> bool:
    """See to it that there is a signing key; whether it is new."""
    path = state_dir / SIGNING_KEY_FILE
    new = not path.exists()
    _secret(path, lambda: private_line(SigningKey.generate(), remark).rstrip())
    return new


def signing_key_in(path: Path, remark: str) -> SigningKey:
    """The signing key in a file, which is made when it is not there.

    Raises:
        StateError: the file cannot be read or written, or is damaged.
    """
    try:
        return parse_signing_key(_secret(path, lambda: private_line(SigningKey.generate(), remark).rstrip()))
    except KeyFileError as error:
        raise StateError(f"{path}: {error}; delete it, and another is made") from error


def first_token(state_dir: Path, engine: Engine, now: float) -> bool:
    """See to it that there is an API token: the first one goes into a file; whether it is new.

    The file is written before the store knows its hash, so that a crash between the two loses nothing.
    """
    with reading(engine) as connection:
        if tokens.list_tokens(connection):
            return False
    secret = _secret(state_dir / TOKEN_FILE, tokens.new_secret)
    if not tokens.is_secret(secret):
        raise StateError(
            f"{state_dir / TOKEN_FILE}: holds no token; delete it, and a new one is made at the next start"
        )
    with writing(engine) as connection:
        tokens.add_token(connection, FIRST_TOKEN_NAME, secret, now, role="admin")
    return True


def first_user(state_dir: Path, engine: Engine, now: float) -> bool:
    """See to it that there is a user: the first is an admin whose password goes into a file; whether it is new.

    They have to choose another password when they first sign in. The file is written before the store knows its hash,
    so that a crash between the two loses nothing.
    """
    with reading(engine) as connection:
        if users.count_users(connection):
            return False
    # Imported here: it brings Werkzeug, which the process that ingests does not need a second time.
    from vedette_hub.identity import passwords

    kept = passwords.hashed(_secret(state_dir / PASSWORD_FILE, passwords.generate))
    with writing(engine) as connection:
        users.add_user(connection, FIRST_USER_NAME, kept, "admin", now, password_due=True)
        audit.note(connection, Entry(now, BY_THE_HUB, "", "user.add", FIRST_USER_NAME, detail="the first admin"))
    return True


def forget_first_password(state_dir: Path) -> None:
    """Delete the file with the first admin's password, which is worth nothing any more."""
    (state_dir / PASSWORD_FILE).unlink(missing_ok=True)


def _secret(path: Path, make: Callable[[], str]) -> str:
    """The line in a file of mode 0600; the file is made, all or nothing, when it is missing or empty."""
    try:
        if text := path.read_text().strip():
            return text
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{path}: {error}") from error
    text = make()
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error
    return text
