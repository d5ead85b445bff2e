"""TLS: whether the certificates of both ends are accepted, and for how long."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from vedette_agent.doctor.finding import Finding
from vedette_agent.mqtt import hints

if TYPE_CHECKING:
    from pathlib import Path

    from vedette_agent.config import Broker

SOON = 30 * 86_400.0
"""Seconds before its end from which a certificate is worth a warning."""
LISTEN = 0.5
"""Seconds in which a broker that does not like our certificate says so after the handshake (TLS 1.3)."""
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000  # of OpenSSL's X509_V_FLAG_*
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64  # of OpenSSL's X509_V_ERR_*


class Certificate(NamedTuple):
    """What counts of a certificate; times in seconds since 1970."""

    names: tuple[str, ...]
    not_before: float
    not_after: float


class Encrypted(NamedTuple):
    """What became of a handshake."""

    version: str = ""
    """For example `TLSv1.3`; empty when it failed."""
    peer: Certificate | None = None
    own: Certificate | None = None
    authorities_end: float | None = None
    """When the first certificate in ca_file expires."""
    verify_code: int = 0
    """Why OpenSSL did not accept the broker's certificate."""
    error: str = ""
    refused_own: bool = False
    """The broker wants a certificate from us, or another one."""


def look(broker: Broker, seconds: float) -> Encrypted:
    """Shake hands as the agent does, and hang up."""
    try:
        context = hints.tls_context(broker)
        own = _own(broker)
    except OSError as error:
        return Encrypted(error=f"our certificate files cannot be used ({error.strerror or error})")
    assert context is not None  # noqa: S101 - asked for TLS brokers only
    ends = [end for end in (_seconds(found.get("notAfter")) for found in context.get_ca_certs()) if end is not None]
    common = Encrypted(own=own, authorities_end=min(ends) if broker.ca_file and ends else None)
    try:
        version, peer, refused = _handshake(broker, context, seconds)
    except ssl.SSLCertVerificationError as error:
        return common._replace(
            verify_code=error.verify_code, error=error.verify_message, peer=_unverified(broker, seconds)
        )
    except ssl.SSLError as error:
        alert = (error.reason or "").upper()
        return common._replace(error=error.reason or str(error), refused_own="ALERT" in alert and "CERT" in alert)
    except OSError as error:
        return common._replace(error=str(error) or type(error).__name__)
    return common._replace(version=version, peer=peer, error=refused, refused_own=bool(refused))


def _handshake(broker: Broker, context: ssl.SSLContext, seconds: float) -> tuple[str, Certificate | None, str]:
    with (
        socket.create_connection((broker.host, broker.port), timeout=seconds) as plain,
        context.wrap_socket(plain, server_hostname=broker.host) as secure,
    ):
        version, peer = secure.version() or "TLS", _certificate(secure.getpeercert())
        secure.settimeout(min(LISTEN, seconds))
        try:
            secure.recv(1)
        except TimeoutError:
            return version, peer, ""
        except ssl.SSLError as error:
            return version, peer, error.reason or str(error)
        return version, peer, ""


def _unverified(broker: Broker, seconds: float) -> Certificate | None:
    """The broker's certificate where its time or its name is all that is wrong with it."""
    context = ssl.create_default_context(cafile=str(broker.ca_file) if broker.ca_file else None)
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    try:
        return _handshake(broker, context, seconds)[1]
    except OSError:
        return None


def _own(broker: Broker) -> Certificate | None:
    return None if broker.cert_file is None else read(broker.cert_file, broker.key_file)


def read(cert_file: Path, key_file: Path | None) -> Certificate | None:
    """Our own certificate. Only a peer's can be asked for its dates, so it is shown to a server in memory.

    Raises:
        OSError: the files cannot be used (ssl.SSLError among them).
    """
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    for context in (client, server):
        context.load_cert_chain(cert_file, key_file, password="")  # without one OpenSSL would ask at the terminal
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= _NO_CHECK_TIME | _PARTIAL_CHAIN
    server.load_verify_locations(cafile=cert_file)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (ours, theirs):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return None  # made for another purpose; the broker will say what it thinks of it
    return _certificate(theirs.getpeercert())


def _certificate(found: dict[str, Any] | None) -> Certificate | None:
    if not found:
        return None
    names = [str(name) for _kind, name in found.get("subjectAltName", ())]
    names = names or [str(v) for part in found.get("subject", ()) for key, v in part if key == "commonName"]
    return Certificate(
        tuple(names), _seconds(found.get("notBefore")) or 0.0, _seconds(found.get("notAfter")) or float("inf")
    )


def _seconds(text: object) -> float | None:
    return float(ssl.cert_time_to_seconds(text)) if isinstance(text, str) else None


def judge(subject: str, broker: Broker, seen: Encrypted, now: float) -> list[Finding]:
    """One finding about the connection, and one for each of our own files that ends soon."""
    return [_connection(subject, broker, seen, now), *_own_files(subject, broker, seen, now)]


def _connection(subject: str, broker: Broker, seen: Encrypted, now: float) -> Finding:
    where = f"{broker.host} port {broker.port}"
    peer = seen.peer

    def failed(said: str, fix: str) -> Finding:
        return Finding("tls", subject, "failed", said, fix)

    if seen.refused_own:
        own = f"of {broker.cert_file}" if broker.cert_file else "of ours, and we have none"
        return failed(
            f"{where} does not accept the certificate {own} ({seen.error}).",
            f"Set cert_file and key_file in [{subject}] to a certificate that the broker's cafile has signed.",
        )
    if seen.verify_code == _EXPIRED:
        when = f" on {_day(peer.not_after)}" if peer else ""
        return failed(
            f"the certificate of {where} expired{when}, and this machine's clock says {_day(now)}.",
            "Renew it on the broker's machine and `systemctl reload mosquitto`, or set this machine's clock.",
        )
    if seen.verify_code == _NOT_YET:
        when = f" before {_day(peer.not_before)}" if peer else " yet"
        return failed(
            f"the certificate of {where} is not valid{when}, and this machine's clock says {_day(now)}.",
            "Set this machine's clock: timedatectl set-ntp true",
        )
    if seen.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        names = ", ".join(peer.names[:4]) if peer and peer.names else "another name"
        return failed(
            f"the certificate of {where} is for {names}, not for {broker.host}.",
            f"Use one of these names in [{subject}] url, or put {broker.host} into the certificate's subjectAltName.",
        )
    if seen.verify_code:
        trusted = f"{broker.ca_file} has" if broker.ca_file else "this system's authorities have"
        return failed(
            f"the certificate of {where} is not signed by anybody that {trusted} ({seen.error}).",
            f"Set ca_file in [{subject}] to the certificate of the authority that signed the broker's.",
        )
    if not seen.version:
        scheme = "mqtt" if broker.scheme == "mqtts" else "ws"
        return failed(
            f"the TLS handshake with {where} failed ({seen.error}).",
            f"Use the broker's TLS port (usually 8883), or {scheme}:// in [{subject}] url if this port is a plain one.",
        )
    until = f", valid until {_day(peer.not_after)}" if peer else ""
    said = f"{seen.version}, certificate for {', '.join(peer.names[:4]) if peer else broker.host}{until}."
    if peer and peer.not_after - now < SOON:
        fix = "Renew it on the broker's machine and `systemctl reload mosquitto`."
        return Finding("tls", subject, "warning", f"{said[:-1]}: {_left(peer.not_after - now)}.", fix)
    return Finding("tls", subject, "ok", said)


def _own_files(subject: str, broker: Broker, seen: Encrypted, now: float) -> list[Finding]:
    found = []
    for end, key, file in (
        (seen.own.not_after if seen.own else None, "cert_file", broker.cert_file),
        (seen.authorities_end, "ca_file", broker.ca_file),
    ):
        if end is None or end - now >= SOON:
            continue
        gone = end <= now
        # one expired authority of several does not harm those who are signed by another
        bad = gone and key == "cert_file"
        found.append(
            Finding(
                f"tls {key}",
                subject,
                "failed" if bad else "warning",
                f"{file} {'expired' if gone else 'expires'} on {_day(end)}{'' if gone else f': {_left(end - now)}'}.",
                f"Have it renewed, put it in the place of {file}, and: systemctl restart vedette-agent",
            )
        )
    return found


def _left(seconds: float) -> str:
    days = int(seconds // 86_400)
    return f"{days} days are left" if days != 1 else "one day is left"


def _day(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(moment))
    except (OverflowError, ValueError, OSError):
        return "no date"
