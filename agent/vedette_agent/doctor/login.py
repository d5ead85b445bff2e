"""Login: whether a broker takes our user, password and client id."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vedette_agent.doctor.finding import Finding

if TYPE_CHECKING:
    from vedette_agent.config import Broker


class Answered(NamedTuple):
    """What became of a CONNECT."""

    code: int | None = None
    """Reason code of the CONNACK by MQTT 5 (paho gives those of 3.1.1 the same numbers); None: none came."""
    words: str = ""
    session: bool = False
    """The broker had kept one for us."""


def judge(subject: str, broker: Broker, seen: Answered) -> Finding:
    """Ok when we were let in as somebody."""
    who = f"user {broker.username}" if broker.username else "a client without a user"
    where = f"{broker.host} port {broker.port}"
    if seen.code == 0:
        if broker.username is None:
            return Finding(
                "login",
                subject,
                "warning",
                f"{where} lets in {who}: anybody who reaches it can feed the detectors and forge alerts.",
                f"Set allow_anonymous false in mosquitto.conf, and username and password_file in [{subject}].",
            )
        return Finding("login", subject, "ok", f"{where} lets in {who} as client {broker.client_id}.")
    if seen.code is None:
        return Finding(
            "login",
            subject,
            "failed",
            f"{where} did not answer our CONNECT: {seen.words}.",
            f"Check that an MQTT broker listens there, as {broker.scheme}:// in [{subject}] url says; see its log: "
            "journalctl -u mosquitto -n 20",
        )
    said = f"{where} refuses {who}: {seen.words} (0x{seen.code:02X})"
    meaning, fix = _refusal(subject, broker, seen.code)
    return Finding("login", subject, "failed", f"{said}{meaning}.", fix)


def _refusal(subject: str, broker: Broker, code: int) -> tuple[str, str]:
    passwords = f"mosquitto_passwd FILE {broker.username}, systemctl reload mosquitto"
    match code:
        case 0x86 | 0x87 if broker.username is None:
            return ", it wants one", f"Set username and password_file in [{subject}]."
        case 0x86:
            return "; the user is unknown, or the password is wrong", (
                f"Put the password that the broker has into password_file of [{subject}], or give it yours: {passwords}"
            )
        case 0x87:
            return "; Mosquitto says the same for an unknown user and for a wrong password", (
                f"Its log tells them apart (journalctl -u mosquitto -n 20); then correct [{subject}], or: {passwords}"
            )
        case 0x85:
            return f"; it does not accept the client id {broker.client_id}", f"Set client_id in [{subject}]."
        case 0x84 | 0x01:
            return "; it does not speak MQTT 5", f'Set protocol = "3.1.1" in [{subject}].'
        case 0x88 | 0x89 | 0x97 | 0x9F:
            return "; it has no room", "Raise max_connections of that listener, or look what fills it."
        case 0x8A:
            return "; it bans us", "See the broker's log and lift the ban."
        case 0x9C | 0x9D:
            return "; it wants us elsewhere", f"Set [{subject}] url to the broker that it names in its log."
        case _:
            return "", "See the broker's log: journalctl -u mosquitto -n 20"
