"""Email by SMTP."""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from vedette_hub.notify.addresses import AddressPolicy, connect, cut_after
from vedette_hub.notify.errors import DeliveryError
from vedette_hub.notify.kinds import EmailSettings
from vedette_hub.notify.message import one_line


class _Smtp(smtplib.SMTP):
    """SMTP over a connection that is there already."""

    def __init__(self, connection: socket.socket, host: str, timeout: float) -> None:
        self._connection = connection
        # With a host it connects at once, which here means: takes the connection.
        super().__init__(host, timeout=timeout, local_hostname="localhost")

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._connection


def mail_of(settings: EmailSettings, identifier: str, message: dict[str, Any], now: float) -> EmailMessage:
    """The mail that says a message; its Message-ID is the same at every try."""
    data = message["data"]
    mail = EmailMessage()
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.to)
    mail["Subject"] = data["title"]
    mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    mail["Message-ID"] = f"<{identifier}@{settings.sender.rsplit('@', 1)[1]}>"
    mail["Auto-Submitted"] = "auto-generated"
    # For filters: what belongs to one alert.
    if message["type"] != "alert.test":
        mail["X-Vedette-Alert"] = one_line(f"{data['gateway']}/{data['id']}")[:200]
    mail.set_content(data["text"] + "\n")
    return mail


def send(
    settings: EmailSettings,
    identifier: str,
    message: dict[str, Any],
    *,
    now: float,
    policy: AddressPolicy,
    timeout: float,
) -> str:
    """Send a mail; what the server answered, in words.

    Raises:
        DeliveryError: it was not taken. Where some receivers were refused it counts as sent, and says which.
    """
    if settings.security == "none" and not policy.allow_http:
        raise DeliveryError("unencrypted mail, and notify.allow_http is not set; nothing was sent")
    raw = connect(settings.host, settings.port, policy, timeout)
    where = f"{settings.host}:{settings.port}"
    try:
        with cut_after(raw, timeout):
            return _deliver(settings, mail_of(settings, identifier, message, now), raw, timeout)
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(where, *next(iter(error.recipients.values()))) from error
    except smtplib.SMTPResponseException as error:
        raise _refused(where, error.smtp_code, error.smtp_error) from error
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"{where}: its certificate is not accepted: {error.verify_message}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(f"{where}: {str(error) or type(error).__name__}") from error
    finally:
        raw.close()


def _deliver(settings: EmailSettings, mail: EmailMessage, raw: socket.socket, timeout: float) -> str:
    tls = ssl.create_default_context()
    if settings.security == "tls":
        raw = tls.wrap_socket(raw, server_hostname=settings.host)
    smtp = _Smtp(raw, settings.host, timeout)
    try:
        if settings.security == "starttls":
            smtp.starttls(context=tls)
        if settings.username:
            smtp.login(settings.username, settings.password)
        refused = smtp.send_message(mail)
    finally:
        # What comes after the server has taken it, or refused it, changes nothing.
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
        smtp.close()
    if refused:
        return f"sent, but not to {', '.join(sorted(refused))}, whom the server refused"
    return f"sent to {len(settings.to)}"


def _refused(where: str, code: int, said: bytes | str) -> DeliveryError:
    words = said.decode(errors="replace") if isinstance(said, bytes) else said
    # A wrong password may be put right; what is wrong with the mail or its receiver will not.
    permanent = 550 <= code < 560
    return DeliveryError(f"{where}: {code} {' '.join(words.split())[:300]}", permanent=permanent)
