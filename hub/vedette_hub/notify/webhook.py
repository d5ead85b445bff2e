"""Webhooks: a POST, signed as in the Standard Webhooks specification (https://www.standardwebhooks.com).

Headers `webhook-id`, `webhook-timestamp` and `webhook-signature`; what is signed is `<id>.<timestamp>.<body>`, with
HMAC-SHA256 and the secret behind `whsec_` in base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

from vedette_hub.notify.addresses import AddressPolicy, connect, cut_after
from vedette_hub.notify.errors import DeliveryError
from vedette_hub.notify.kinds import SECRET_PREFIX, WebhookSettings
from vedette_hub.version import VERSION

READ_BYTES = 1_024
"""Of an answer's body, for its error; the rest is not read."""
LONGEST_WAIT = 3_600.0
NEVER = frozenset({400, 405, 410, 411, 413, 414, 415, 422, 431})
"""Statuses that say that this very request will never be taken."""


def signature(secret: str, identifier: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature` of a message.

    >>> signature("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "msg_1", 1700000000, b"{}")
    'v1,YFh8Cr1KK1Ev6AjsIxF6xIhaD3eU9BRrv+u7oXDcu0k='
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = hmac.new(key, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def send(
    settings: WebhookSettings,
    identifier: str,
    message: dict[str, Any],
    *,
    now: float,
    policy: AddressPolicy,
    timeout: float,
) -> str:
    """POST a message; what was answered, in words.

    Redirects are not followed, and no proxy is used: the request goes to the address that was checked.

    Raises:
        DeliveryError: it was not taken.
    """
    parts = urlsplit(settings.url)
    secure = parts.scheme == "https"
    if not secure and not policy.allow_http:
        raise DeliveryError("the address is http://, and notify.allow_http is not set; nothing was sent")
    body = json.dumps(message, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"vedette-hub/{VERSION}",
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": signature(settings.secret, identifier, int(now), body),
    }
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    # Its name stays, for the header Host; where it leads has been decided here.
    raw = connect(host, port, policy, timeout)
    try:
        with cut_after(raw, timeout):
            connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host) if secure else raw
            connection.request("POST", _target(parts.path, parts.query), body, headers)
            answer = connection.getresponse()
            _judge(answer)
            return f"answered {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"{host}:{port}: {_words(error)}") from error
    finally:
        connection.close()
        raw.close()


def _target(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def _judge(answer: http.client.HTTPResponse) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise DeliveryError(f"answered {status}, a redirect, which is not followed: give the channel the new address")
    said = " ".join(answer.read(READ_BYTES).decode(errors="replace").split())[:200]
    raise DeliveryError(
        f"answered {status}" + (f": {said}" if said else ""),
        permanent=status in NEVER,
        retry_after=_seconds(answer.headers.get("Retry-After", "")) if status in (429, 503) else None,
    )


def _seconds(text: str) -> float | None:
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() else None


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection without an answer, or did not answer in time"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
