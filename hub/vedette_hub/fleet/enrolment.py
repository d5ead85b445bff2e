"""Enrolling a gateway: its user at the broker, and the keys whose orders it follows."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey
from sqlalchemy import Engine

from vedette_hub import state
from vedette_hub.errors import HubError
from vedette_hub.store import rollout as store
from vedette_hub.store.database import reading, writing
from vedette_hub.store.schema import NAME_LENGTH
from vedette_models import topics
from vedette_models.keys import key_id, public_line

logger = logging.getLogger(__name__)

REMARK = "Vedette hub"
HUB_USER = "hub"
"""The hub's user at the broker, as the shipped access list has it."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HASH_ROUNDS = 101
"""What mosquitto_passwd uses; the password has 192 random bits, so that nothing can be guessed anyway."""


class EnrolmentError(HubError):
    """A gateway that cannot be enrolled."""


@dataclass(frozen=True)
class Enrolment:
    """What has to be copied where so that broker, gateway and hub know each other."""

    gateway: str
    username: str
    """At the hub's broker: the gateway's id as it stands in topics."""
    password: str
    password_line: str
    """For the broker's password file."""
    access_lines: str
    """For the access list of a broker that has no patterns as the shipped hub.acl."""
    key_ring: str
    """For the agent's `models.key_ring`."""
    new: bool
    """Whether this hub had not known it before."""


def enroll(engine: Engine, key: SigningKey, gateway: str, now: float, own: str = HUB_USER) -> Enrolment:
    """Make a gateway known, with a new password. The broker learns of it when the line is copied there.

    `own` is the hub's own user at the broker.

    Raises:
        EnrolmentError: the name cannot be a gateway's.
    """
    if not gateway.strip() or len(gateway) > NAME_LENGTH or _CONTROL.search(gateway):
        raise EnrolmentError(f"gateway {gateway!r}: 1 to {NAME_LENGTH} characters, none of them a control character")
    username = topics.encode(gateway)
    if len(username) > NAME_LENGTH:
        raise EnrolmentError(f"gateway {gateway!r}: {len(username)} characters when encoded, at most {NAME_LENGTH}")
    if username in (HUB_USER, own):
        raise EnrolmentError(
            f"gateway {gateway!r}: {username!r} is the hub's own user at the broker, which may speak to every gateway; "
            "give the gateway another name"
        )
    with writing(engine) as connection:
        new = store.add_gateway(connection, gateway, now)
    password = secrets.token_urlsafe(24)
    return Enrolment(
        gateway,
        username,
        password,
        f"{username}:{_hashed(password)}",
        f"user {username}\n"
        f"topic write {topics.gateway_up(gateway, '#')}\n"
        f"topic read {topics.gateway_down(gateway, '#')}\n"
        f"topic read {topics.artifact('+')}\n",
        key_ring_text(key),
        new,
    )


def key_ring_text(key: SigningKey) -> str:
    """The file that gateways check orders against."""
    return "# Keys whose orders this gateway follows; see `models.key_ring` in agent.toml.\n" + public_line(
        key.verify_key, REMARK
    )


def prepare_signing_key(state_dir: Path, engine: Engine) -> SigningKey | None:
    """The signing key at the start of the hub: made on a new hub, and missed on one that has signed before.

    A key made in passing would be one that no gateway trusts: without the key everything but orders works, and the log
    says what to do.
    """
    with reading(engine) as connection:
        signed = store.foreign_keys(connection, None)
    path = state_dir / state.SIGNING_KEY_FILE
    if signed and not path.exists():
        logger.error(
            "signing key: %s is missing, and gateways follow key %s. Restore it from a backup and start again; if it "
            "is lost for good, see `vedette-hub key new --help`",
            path,
            ", ".join(sorted(signed)),
        )
        return None
    new = state.new_signing_key(state_dir, REMARK)
    try:
        key = state.signing_key(state_dir)
    except state.StateError as error:
        logger.error("signing key: %s", error)
        return None
    if new:
        logger.warning(
            "signing key: %s has just been made. Keep a copy in a safe place: without it, every gateway has to be "
            "given a new key ring (docs/models.md)",
            path,
        )
    own = key_id(key.verify_key)
    if foreign := {name: number for name, number in signed.items() if name != own}:
        logger.warning(
            "signing key: it is %s now; %d manifests are signed again. Gateways follow when their key ring has it",
            own,
            sum(foreign.values()),
        )
    return key


def replace_signing_key(state_dir: Path) -> Path | None:
    """Make a new signing key; where the old one has been moved to, if there was one."""
    path = state_dir / state.SIGNING_KEY_FILE
    old = None
    if path.exists():
        old = path.with_name(f"{path.name}.{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.old")
        path.replace(old)
    state.new_signing_key(state_dir, REMARK)
    return old


def _hashed(password: str) -> str:
    """A password as Mosquitto 2 keeps it: PBKDF2 with SHA-512, the salt beside it."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _HASH_ROUNDS, 64)
    return f"$7${_HASH_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
