"""A restart in the middle: webhook, mail and a Slack-shaped service each get every alert exactly once."""

from __future__ import annotations

import json
import threading
import urllib.request
from email import message_from_bytes, policy
from typing import Any

from tests.brokers import Mosquitto
from tests.hub.conftest import HubProcess
from tests.hub.gateway import SimulatedGateway, alert, wait_for
from tests.hub.notify.receivers import HttpReceiver, MailReceiver, http_receiver, mail_receiver

SECONDS = 240.0


def post(hub: HubProcess, path: str, body: dict[str, Any]) -> Any:
    token = (hub.state_dir / "api-token").read_text().strip()
    request = urllib.request.Request(f"http://127.0.0.1:{hub.port}/api/v1/{path}", json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


def set_up(hub: HubProcess, hook: HttpReceiver, mail: MailReceiver, slack: HttpReceiver) -> None:
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "hook": ("webhook", {"url": hook.url()}),
        "mail": (
            "email",
            {
                "host": "127.0.0.1",
                "port": mail.port,
                "security": "none",
                "sender": "h@p.example",
                "to": ["a@p.example"],
            },
        ),
        "slack": ("apprise", {"url": f"mmost://127.0.0.1:{slack.port}/{'t' * 24}"}),
    }
    for name, (kind, given) in settings.items():
        post(hub, "channels", {"name": name, "kind": kind, "settings": given})
    post(hub, "routes", {"name": "all", "channels": list(settings)})


def start(hub: HubProcess) -> None:
    hub.start(wait=False)
    wait_for(lambda: hub.health() == "ok", "the hub is up", SECONDS)


def when_it_stops(hub: HubProcess, receivers: tuple[HttpReceiver | MailReceiver, ...]) -> None:
    """Let receivers answer once the hub has been told to stop."""
    wait_for(lambda: "stopping" in hub.log.read_text(), "the hub stops", SECONDS)
    for receiver in receivers:
        receiver.gate.set()


def test_a_restart_in_the_middle_loses_nothing_and_tells_nothing_twice(
    hub_process: HubProcess, mosquitto: Mosquitto
) -> None:
    with http_receiver() as hook, mail_receiver() as mail, http_receiver() as slack:
        notify = '[notify]\nallow_networks = ["127.0.0.0/8"]\nallow_http = true\nretry_first = 0.1\ntimeout = 60.0\n'
        hub_process.config.write_text(hub_process.config.read_text() + notify)
        start(hub_process)
        set_up(hub_process, hook, mail, slack)
        # Apprise takes its time to be loaded: not while the hub stops.
        assert post(hub_process, "channels/slack/test", {"wait": 30})["status"] in ("sent", "queued", "sending")
        wait_for(lambda: len(slack.requests) == 1, "the test has arrived", SECONDS)

        receivers = (hook, mail, slack)
        for receiver in receivers:
            receiver.gate.clear()
        with SimulatedGateway(mosquitto.port) as gateway:
            for number in (1, 2, 3):
                gateway.put(number, alert(number))
            wait_for(lambda: gateway.pending() == 0, "the hub has them", SECONDS)
        wait_for(lambda: hook.requests and mail.mails and len(slack.requests) == 2, "one is under way to each", SECONDS)
        # What is under way is taken only after the hub has been told to stop.
        release = threading.Thread(target=when_it_stops, args=(hub_process, receivers))
        release.start()
        assert hub_process.stop() == 0
        release.join()
        assert (len(hook.requests), len(mail.mails), len(slack.requests)) == (1, 1, 2)

        start(hub_process)
        wait_for(
            lambda: (len(hook.requests), len(mail.mails), len(slack.requests)) == (3, 3, 4), "all have arrived", SECONDS
        )
        wait_for(lambda: len(hub_process.get("deliveries?status=sent")["deliveries"]) == 10, "all is noted", SECONDS)
        assert hub_process.stop() == 0

    assert sorted(request.json["data"]["id"] for request in hook.requests) == ["a-1", "a-2", "a-3"]
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 3
    mails = [
        message_from_bytes(one.content, policy=policy.default) for one in mail.mails if isinstance(one.content, bytes)
    ]
    assert sorted(one["X-Vedette-Alert"] for one in mails) == ["gw-1/a-1", "gw-1/a-2", "gw-1/a-3"]
    texts = [request.json["text"] for request in slack.requests[1:]]
    assert sorted(text.split(":")[0] for text in texts) == [f"[medium] pump-{number}" for number in (1, 2, 3)]
