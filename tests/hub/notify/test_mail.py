"""A mail says it in words, once, and hostile names stay text in it."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest

from tests.hub.gateway import alert
from tests.hub.notify.receivers import MailReceiver, http_receiver, mail_receiver
from vedette_hub.alerts.lifecycle import AlertRecord
from vedette_hub.notify import mail
from vedette_hub.notify.addresses import AddressPolicy
from vedette_hub.notify.errors import DeliveryError, RefusedAddressError
from vedette_hub.notify.kinds import EmailSettings
from vedette_hub.notify.message import compose, compose_test

LOOPBACK = AddressPolicy.of(["127.0.0.0/8"], allow_http=True)
NOW = 1_700_000_100.0


def settings(receiver: MailReceiver, **more: Any) -> EmailSettings:
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": receiver.port,
        "security": "none",
        "sender": "hub@plant.example",
        "to": ["ana@plant.example", "ben@plant.example"],
        **more,
    }
    return EmailSettings(**values)


def send(made: EmailSettings, message: dict[str, Any] | None = None, policy: AddressPolicy = LOOPBACK) -> str:
    message = message or compose(AlertRecord(alert(7)), "opened", NOW, origin="https://hub.example")
    return mail.send(made, "msg_1", message, now=NOW, policy=policy, timeout=45.0)


def parsed(receiver: MailReceiver) -> Any:
    (envelope,) = receiver.mails
    assert isinstance(envelope.content, bytes)
    return email.message_from_bytes(envelope.content, policy=email.policy.default)


def test_a_mail_goes_to_everybody_with_an_id_that_stays_the_same() -> None:
    with mail_receiver() as receiver:
        assert send(settings(receiver)) == "sent to 2"
        assert receiver.mails[0].rcpt_tos == ["ana@plant.example", "ben@plant.example"]
        got = parsed(receiver)
    assert got["Subject"] == "[medium] pump-7: anomaly"
    assert got["Message-ID"] == "<msg_1@plant.example>"
    text = got.get_content()
    assert "vibration 4.1 mm/s, usually 1.2–2.0" in text
    assert "https://hub.example/alerts/gw-1/a-7" in text


def test_names_cannot_add_headers_or_receivers() -> None:
    hostile = alert(7, device="pump\r\nBcc: eve@evil.example\r\n\r\n", gateway="gw\nTo: x", reason="a\r\n.\r\nQUIT\r\n")
    with mail_receiver() as receiver:
        send(settings(receiver), compose(AlertRecord(hostile), "opened", NOW))
        assert receiver.mails[0].rcpt_tos == ["ana@plant.example", "ben@plant.example"]
        got = parsed(receiver)
    assert got["Bcc"] is None
    assert got["Subject"] == "[medium] pump Bcc: eve@evil.example: anomaly"
    assert "a . QUIT" in got.get_content()


def test_who_is_refused_is_named_and_nobody_else_gets_it_twice() -> None:
    with mail_receiver() as receiver:
        receiver.refused = {"ben@plant.example"}
        assert send(settings(receiver)) == "sent, but not to ben@plant.example, whom the server refused"
        receiver.refused = {"ana@plant.example", "ben@plant.example"}
        with pytest.raises(DeliveryError, match="550 nobody of this name") as caught:
            send(settings(receiver))
        assert caught.value.permanent
        assert len(receiver.mails) == 1


def test_a_server_that_is_busy_is_tried_again() -> None:
    with mail_receiver() as receiver:
        receiver.answers = ["451 try later"]
        with pytest.raises(DeliveryError, match="451 try later") as caught:
            send(settings(receiver))
        assert not caught.value.permanent


def test_nothing_goes_to_a_private_address_or_unencrypted_unless_allowed() -> None:
    with mail_receiver() as receiver:
        with pytest.raises(RefusedAddressError):
            send(settings(receiver), policy=AddressPolicy(allow_http=True))
        with pytest.raises(DeliveryError, match="unencrypted"):
            send(settings(receiver), policy=AddressPolicy.of(["127.0.0.0/8"], allow_http=False))
        with pytest.raises(DeliveryError, match="STARTTLS"):
            send(settings(receiver, security="starttls"))
        assert receiver.mails == []


def test_a_server_that_does_not_speak_smtp_is_a_failure_in_words() -> None:
    with http_receiver() as receiver, pytest.raises(DeliveryError, match=rf"127\.0\.0\.1:{receiver.port}"):
        mail.send(
            EmailSettings(
                host="127.0.0.1", port=receiver.port, security="none", sender="a@b.example", to=["c@d.example"]
            ),
            "msg_1",
            compose_test("ops", "ana", NOW),
            now=NOW,
            policy=LOOPBACK,
            timeout=3.0,
        )
