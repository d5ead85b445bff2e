"""What went wrong with a broker, in one sentence, and what to do about it."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vedette_agent.config import Broker


def tls_context(broker: Broker) -> ssl.SSLContext | None:
    """How to encrypt; None for plain connections.

    Raises:
        OSError: a certificate or key file cannot be used.
    """
    if not broker.tls:
        return None
    context = ssl.create_default_context(cafile=str(broker.ca_file) if broker.ca_file else None)
    if broker.cert_file:
        context.load_cert_chain(broker.cert_file, broker.key_file)
    return context


def tls_hint(broker: Broker) -> str:
    """Whether the port may be of the other kind."""
    if broker.tls:
        return "does it speak TLS there? (mqtts:// needs a TLS port, usually 8883)"
    return "is it a plain port? (a TLS port needs mqtts://)"


def closed_early(broker: Broker, problem: str) -> str:
    """The connection ended before the broker had accepted us."""
    return f"{broker.host}:{broker.port} closed the connection before accepting it ({problem}); {tls_hint(broker)}"


def refusal(broker: Broker, text: str) -> str:
    """The broker has answered CONNECT with a refusal."""
    words = text.lower()
    hint = "see the broker's log"
    if "protocol" in words:
        hint = 'the broker does not speak MQTT 5: set protocol = "3.1.1"'
    elif "user name" in words or "not auth" in words:
        hint = f"check the password of {broker.username!r}" if broker.username else "it wants a username and password"
    elif "identifier" in words or "client id" in words:
        hint = f"the broker does not accept the client id {broker.client_id!r}"
    return f"{broker.host}:{broker.port} refused us: {text}; {hint}"


def subscription_refused(broker: Broker, topic_filter: str, code: int) -> str:
    """The broker does not let us read a filter."""
    who = broker.username or broker.client_id
    return (
        f"{broker.url} refused the subscription {topic_filter!r} (0x{code:02X}); "
        f"allow {who!r} to read it in the broker's ACL"
    )


def publication_refused(broker: Broker, text: str) -> str:
    """The broker does not let us write a topic."""
    who = broker.username or broker.client_id
    return f"{broker.url} refused a publication ({text}); allow {who!r} to write it in the broker's ACL"


def taken_over(broker: Broker) -> str:
    """The broker has dropped us for another client of the same name."""
    return (
        f"another client has connected with our client id {broker.client_id!r} (0x8E session taken over); "
        "every client needs a user and an id of its own: stop the other one, or set client_id"
    )


def short_lived(broker: Broker, problem: str) -> str:
    """The broker ends our connections as soon as they are made, and does not say why."""
    return (
        f"{problem}, again and again right after connecting; does another client use our client id "
        f"{broker.client_id!r}? Every client needs a user and an id of its own: stop the other one, or set client_id"
    )


def unreachable(broker: Broker, error: BaseException) -> str:
    """There is no connection, because of this error."""
    where = f"{broker.host}:{broker.port}"
    match error:
        case TimeoutError():
            waited = f"no answer from {where} within {broker.connect_timeout:.0f} s"
            return f"{waited}; is it an MQTT broker, and {tls_hint(broker)}"
        case ssl.SSLCertVerificationError():
            return f"certificate of {where} not accepted: {error.verify_message}; set ca_file to who signed it"
        case ssl.SSLError():
            reason = error.reason or str(error)
            return f"TLS handshake with {where} failed ({reason}); a plain port? then use mqtt:// instead of mqtts://"
        case socket.gaierror():
            return f"host {broker.host!r} not found ({error.strerror}); check the name and DNS"
        case ConnectionRefusedError():
            return f"connection to {where} refused; is the broker running and listening there?"
        case _:
            return f"cannot connect to {where}: {error or type(error).__name__}; {tls_hint(broker)}"
