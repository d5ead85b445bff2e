"""One version apart: what docs/compatibility.md promises, with messages as the other version writes them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from sqlalchemy import Engine, select

from tests.hub.updating import KEY, add_model
from vedette_hub.config import LimitsSection
from vedette_hub.fleet import orders
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import Outcome, commit
from vedette_hub.fleet.orders import Targets
from vedette_hub.fleet.rollout import Desired, IssuedManifest, Version, progress
from vedette_hub.store import fleet
from vedette_hub.store import rollout as store
from vedette_hub.store.database import reading, writing
from vedette_hub.store.schema import alerts, reports, unparsed
from vedette_models import topics
from vedette_models.keys import key_id, key_ring
from vedette_models.manifest import ManifestRejected, verify
from vedette_models.messages import MessageError, Receipt, from_bytes
from vedette_models.rejection import Rejection

NOW = 1_800_000_000.0

# As the agent before models existed writes them. They stay as they are, whatever the code becomes.
OLD_STATUS = (
    b'{"gateway":"gw-1","online":true,"time":1.8e9,"started":1.7e9,"version":"0.1.0","ingest":"receiving",'
    b'"hub":"connected","devices":3,"counters":{"received":10,"scored":10},"v":1}'
)
OLD_ALERT = (
    b'{"id":"gw-1/1","revision":1,"gateway":"gw-1","device":"pump-1","profile":"pump","kind":"anomaly","state":"active",'
    b'"severity":"high","opened":1.8e9,"time":1.8e9,"score":1.4,"reason":"vibration 4.1, usually 1.2 to 2.0"}'
)
OLD_REPORT = b'{"time":1.8e9,"losses":[{"priority":"alerts","epoch":"e0","first":1,"last":2,"reason":"full"}]}'


def deliver(body: bytes, v: int = 1) -> bytes:
    return b'{"rows":[["e1",1,%b]],"v":%d}' % (body, v)


def take(engine: Engine, subject: str, payload: bytes) -> Outcome:
    return commit(engine, parse(topics.gateway_up("gw-1", subject), payload), NOW, LimitsSection())


def newer(body: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(body), "novelty": {"deep": [1]}, **fields}).encode()


def stored(engine: Engine) -> fleet.StoredGateway:
    with reading(engine) as connection:
        found = fleet.find_gateway(connection, "gw-1")
    assert found is not None
    return found


def test_an_older_agents_messages_have_their_full_effect(engine: Engine) -> None:
    take(engine, "status", OLD_STATUS)
    assert take(engine, "alerts", deliver(OLD_ALERT)).rows == 1
    assert take(engine, "reports", deliver(OLD_REPORT)).rows == 1
    found = stored(engine)
    assert found.status is not None
    assert (found.online, found.status.devices, found.lost_rows, found.unparsed) == (True, 3, 2, 0)


def test_an_older_agent_that_knows_no_orders_is_told_now_and_then_and_nothing_else_happens(engine: Engine) -> None:
    take(engine, "status", OLD_STATUS)
    add_model(engine)
    orders.push(engine, KEY, "pump", 1, Targets(), "ann", NOW)
    published = 0
    for step in range(72):  # six hours
        now = NOW + 300.0 * step
        commit(engine, parse(topics.gateway_up("gw-1", "status"), OLD_STATUS), now, LimitsSection())
        with writing(engine) as connection:
            due = store.due_manifests(connection, "publish", limit=1)
            assert store.due_manifests(connection, "sign", limit=1) == []
            store.manifests_published(connection, dict.fromkeys(due, 1), now)
        published += len(due)
    assert 4 < published < 16


def test_a_newer_agents_new_fields_are_ignored_and_kept(engine: Engine) -> None:
    take(engine, "status", newer(OLD_STATUS))
    take(engine, "alerts", deliver(newer(OLD_ALERT)))
    outcome = take(engine, "reports", deliver(newer(OLD_REPORT)))
    assert outcome.receipts["gw-1"]
    assert stored(engine).unparsed == 0
    with reading(engine) as connection:
        assert "novelty" in connection.execute(select(alerts.c.event)).scalar_one()
        assert "novelty" in connection.execute(select(reports.c.body)).scalar_one()


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("alerts", newer(OLD_ALERT, severity="catastrophic")),
        ("reports", newer(OLD_REPORT, activations=[{"profile": "p", "sha256": "", "version": "one", "outcome": "x"}])),
    ],
)
def test_a_row_that_a_newer_agent_means_otherwise_is_kept_raw_and_receipted(
    engine: Engine, subject: str, body: bytes
) -> None:
    outcome = take(engine, subject, deliver(body))
    assert outcome.receipts["gw-1"][0].committed[0].through == 1
    with reading(engine) as connection:
        assert connection.execute(select(unparsed.c.payload)).scalar_one() == body


def test_an_outcome_that_only_a_newer_agent_has_costs_nothing_of_its_report(engine: Engine) -> None:
    add_model(engine)
    take(engine, "status", OLD_STATUS)
    orders.push(engine, KEY, "pump", 1, Targets(), "ann", NOW)
    melted = {"profile": "pump", "sha256": "ab" * 32, "version": 1, "outcome": "melted down altogether", "counter": 1}
    outcome = take(engine, "reports", deliver(newer(OLD_REPORT, activations=[melted])))
    assert outcome.rows == 1
    assert (stored(engine).unparsed, stored(engine).lost_rows) == (0, 2), "its losses count"
    with reading(engine) as connection:
        last = store.last_activations(connection, ["gw-1"])["gw-1"]["pump"]
    assert last.activation.outcome == "melted down alto"
    manifest = IssuedManifest("gw-1", 1, "", "", NOW, NOW, "", NOW, 1)
    desired = Desired(Version(1, "ab" * 32))
    assert progress(desired, manifest, stored(engine).status, "pump", last.activation, online=True) == "sent"


@pytest.mark.parametrize(
    ("subject", "payload"),
    [
        ("alerts", deliver(OLD_ALERT, v=2)),
        ("dreams", deliver(OLD_REPORT)),
        ("status", newer(OLD_STATUS, v=2)),
    ],
)
def test_a_message_that_only_a_newer_hub_understands_is_kept_and_not_receipted(
    engine: Engine, subject: str, payload: bytes
) -> None:
    take(engine, "status", OLD_STATUS)
    outcome = take(engine, subject, payload)
    assert not outcome.receipts
    found = stored(engine)
    assert found.unparsed == 1
    assert found.status is not None
    assert found.status.devices == 3


def test_an_older_agent_ignores_what_a_newer_hub_adds_to_receipts_and_manifests(engine: Engine) -> None:
    assert from_bytes(Receipt, b'{"committed":[["alerts","e1",7,[],"more"]],"v":1,"more":1}').committed[0].through == 7
    signed = _signed(1, _manifest(novelty={"deep": 1}))
    assert verify(signed, key_ring(KEY.verify_key), "gw-1", now=NOW, last_counter=0).counter == 3


def test_an_older_agent_refuses_what_it_would_misunderstand(engine: Engine) -> None:
    with pytest.raises(MessageError, match="version 2"):
        from_bytes(Receipt, b'{"committed":[],"v":2}')
    with pytest.raises(ManifestRejected) as refused:
        verify(_signed(2, _manifest()), key_ring(KEY.verify_key), "gw-1", now=NOW, last_counter=0)
    assert refused.value.reason == Rejection.NEWER_FORMAT


def _manifest(**more: Any) -> bytes:
    fields = {"gateway": "gw-1", "counter": 3, "issued": NOW - 1, "expires": NOW + 1e6, "releases": {}, **more}
    return json.dumps(fields).encode()


def _signed(version: int, body: bytes) -> bytes:
    """A manifest as its format describes it, made here byte for byte."""
    signature = base64.b64encode(KEY.sign(b"vedette manifest %d\n" % version + body).signature).decode()
    head = json.dumps({"v": version, "key": key_id(KEY.verify_key), "signature": signature})
    return head[:-1].encode() + b', "manifest": ' + body + b"}"
