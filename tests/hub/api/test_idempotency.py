"""Writes that are sent twice are done once."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from tests.hub import people
from tests.hub.api.test_identity_api import deeds, take_alert
from tests.hub.conftest import Call
from vedette_hub.store import idempotency
from vedette_hub.store.database import reading, writing
from vedette_hub.store.idempotency import claim, keep, prune_keys
from vedette_hub.store.schema import idempotency_keys

TRAIN = {"profile": "pump"}


def kept(engine: Engine) -> int:
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(idempotency_keys)).scalar_one())


def test_the_same_key_and_body_are_done_once_and_answered_alike(client: Any, call: Call) -> None:
    headers = {"Authorization": f"Bearer {client.token}", "Idempotency-Key": "a-1"}
    first = client.post("/api/v1/models/train", json=TRAIN, headers=headers)
    again = client.post("/api/v1/models/train", json=TRAIN, headers=headers)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_data() == first.get_data()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert call("GET", "jobs")[1]["total"] == 1
    assert len(deeds(call, "action=model.train")) == 1


def test_without_a_key_a_second_training_is_refused_as_ever(call: Call) -> None:
    assert call("POST", "models/train", json=TRAIN)[0] == 202
    assert call("POST", "models/train", json=TRAIN)[0] == 409


def test_the_same_key_with_anything_else_is_refused(call: Call, engine: Engine) -> None:
    take_alert(engine)
    key = {"headers": {"Idempotency-Key": "a-1"}}
    assert call("POST", "alerts/gw-1/a-1/acknowledge", json={"comment": "one"}, **key)[0] == 200
    for path, body in (
        ("alerts/gw-1/a-1/acknowledge", {"comment": "two"}),
        ("alerts/gw-1/a-1/resolve", {"comment": "one"}),
        ("models/train", TRAIN),
    ):
        status, answer = call("POST", path, json=body, **key)
        assert (status, answer["error"]["fields"][0]["field"]) == (422, "Idempotency-Key")
    assert len(call("GET", "alerts/gw-1/a-1")[1]["history"]) == 2


def test_keys_belong_to_their_caller(client: Any, call: Call, engine: Engine) -> None:
    take_alert(engine)
    other = people.make_token(engine, "other", "operator")
    for secret in (client.token, other):
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "a-1"}
        answer = client.post("/api/v1/alerts/gw-1/a-1/acknowledge", json={"comment": secret[-5:]}, headers=headers)
        assert answer.status_code == 200
    assert len(call("GET", "alerts/gw-1/a-1")[1]["history"]) == 3


def test_what_was_refused_may_be_sent_again_with_its_key(call: Call, engine: Engine) -> None:
    key = {"headers": {"Idempotency-Key": "a-1"}}
    assert call("POST", "alerts/gw-1/a-1/acknowledge", json={}, **key)[0] == 404
    assert call("POST", "alerts/gw-1/a-1/label", json={"label": "perhaps"}, **key)[0] == 422
    assert kept(engine) == 0
    take_alert(engine)
    assert call("POST", "alerts/gw-1/a-1/acknowledge", json={}, **key)[0] == 200


def test_what_broke_half_way_is_not_done_and_may_be_sent_again(
    call: Call, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_alert(engine)
    key = {"headers": {"Idempotency-Key": "a-1"}}
    with monkeypatch.context() as broken:
        broken.setattr("vedette_hub.api.idempotency.idempotency.keep", lambda *_: 1 / 0)
        assert call("POST", "alerts/gw-1/a-1/acknowledge", json={}, **key)[0] == 500
    assert call("GET", "alerts/gw-1/a-1")[1]["acknowledged"] is False
    assert deeds(call) == []
    assert call("POST", "alerts/gw-1/a-1/acknowledge", json={}, **key)[0] == 200


@pytest.mark.parametrize("key", ["", " ", "with space", "ä", "x" * 256, "tab\there"])
def test_a_key_that_is_none_is_refused(call: Call, engine: Engine, key: str) -> None:
    take_alert(engine)
    status, answer = call("POST", "alerts/gw-1/a-1/acknowledge", json={}, headers={"Idempotency-Key": key})
    assert (status, answer["error"]["fields"][0]["field"]) == (422, "Idempotency-Key")
    assert len(call("GET", "alerts/gw-1/a-1")[1]["history"]) == 1


def test_two_at_the_same_time_are_done_once(client: Any, call: Call) -> None:
    headers = {"Authorization": f"Bearer {client.token}", "Idempotency-Key": "a-1"}
    answers: list[Any] = []

    def send() -> None:
        answers.append(client.application.test_client().post("/api/v1/models/train", json=TRAIN, headers=headers))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [202] * 4
    assert len({answer.get_data() for answer in answers}) == 1
    assert call("GET", "jobs")[1]["total"] == 1


def test_a_key_is_forgotten_after_its_time(call: Call, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    take_alert(engine)
    key = {"headers": {"Idempotency-Key": "a-1"}}
    call("POST", "alerts/gw-1/a-1/acknowledge", json={"comment": "one"}, **key)
    later = time.time() + 24.1 * 3600.0
    monkeypatch.setattr("vedette_hub.api.context.Context.now", lambda _: later)
    assert call("POST", "alerts/gw-1/a-1/acknowledge", json={"comment": "two"}, **key)[0] == 200


def test_an_answer_that_is_too_large_is_not_kept_but_that_it_was_given_is(
    call: Call, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "LARGEST_ANSWER", 10)
    take_alert(engine)
    key = {"headers": {"Idempotency-Key": "a-1"}}
    assert call("POST", "alerts/gw-1/a-1/acknowledge", json={}, **key)[0] == 200
    status, answer = call("POST", "alerts/gw-1/a-1/acknowledge", json={}, **key)
    assert (status, "was done before" in answer["error"]["message"]) == (409, True)
    assert len(call("GET", "alerts/gw-1/a-1")[1]["history"]) == 2


def test_keys_are_bounded(engine: Engine) -> None:
    with writing(engine) as connection:
        for number in range(12):
            assert claim(connection, "user 1", f"k{number}", "f", float(number), seconds=1e9) is None
            keep(connection, "user 1", f"k{number}", 200, {}, b"body")
        assert prune_keys(connection, 5) == 7
        assert prune_keys(connection, 5) == 0
        found = claim(connection, "user 1", "k7", "f", 20.0, seconds=1e9)
        assert found is not None
        assert (found.status, found.body) == (200, b"body")
        assert claim(connection, "user 1", "k6", "f", 20.0, seconds=1e9) is None
