"""The console's pages about models: who runs what, reports, and orders that need their form."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.hub import people
from tests.hub.api.test_rollout import report, say
from tests.hub.learning.readings import deliver, samples
from tests.hub.people import csrf_token
from tests.hub.updating import add_model
from tests.hub.web.test_console import HOSTILE, hear_the_broker
from vedette_hub import state
from vedette_hub.config import Config, LearningSection
from vedette_hub.fleet import groups, orders
from vedette_hub.fleet.orders import Targets
from vedette_hub.learning import jobs, worker
from vedette_hub.learning.jobs import Synthetic, TrainRequest
from vedette_hub.learning.training.algorithms import ALGORITHMS
from vedette_hub.store import rollout as store
from vedette_hub.store.database import writing
from vedette_models.messages import Activation, RunningModel


@pytest.fixture
def browser(client: Any, config: Config, engine: Engine) -> Any:
    """The client, signed in to the console of a hub with a key and a broker."""
    state.new_signing_key(config.state_dir, "test")
    hear_the_broker(config)
    people.add(engine, "ana", "admin")
    people.begin_session(client, engine, "ana")
    return client


def page(browser: Any, path: str = "/models") -> str:
    answer = browser.get(path)
    assert answer.status_code == 200
    return str(answer.get_data(as_text=True))


def push(engine: Engine, config: Config, version: int = 1, profile: str = "pump") -> None:
    orders.push(engine, state.signing_key(config.state_dir), profile, version, Targets(), "ann", time.time())


def test_without_signing_in_there_is_nothing(client: Any) -> None:
    for path in ("/models", "/models/pump/1", "/models/pump/orders", "/models/pump/train"):
        assert client.get(path).headers["Location"] == "/login"
    assert client.get("/models/overview").status_code == 401
    assert client.get("/models/pump/1/plots/scores.svg").status_code == 401
    for path in ("/models/pump/train", "/models/pump/1/push", "/models/pump/rollback", "/models/pump/unload"):
        assert client.post(path).status_code == 401


def test_without_a_model_it_says_what_to_do_next(browser: Any) -> None:
    text = page(browser)
    assert "No model yet" in text
    assert "vedette-hub train --profile NAME" in text


def test_it_shows_who_runs_what_with_trouble_first(browser: Any, engine: Engine, config: Config) -> None:
    _, name = add_model(engine)
    for gateway in ("gw-1", "gw-2"):
        say(engine, gateway)
    groups.assign(engine, "gw-2", "hall 3")
    push(engine, config)
    say(engine, "gw-1", manifest=1, models={"pump": RunningModel(1, name, "isolation_forest")})
    refused = Activation("pump", name, 1, "refused", "golden_mismatch", "score 0.4, expected 0.6", 1)
    report(engine, refused, name="gw-2")
    with writing(engine) as connection:
        store.manifests_published(connection, {"gw-1": 1, "gw-2": 1}, time.time())
    text = page(browser)
    assert "1 of 2 gateways run what was ordered" in text
    assert "golden mismatch: score 0.4, expected 0.6" in text
    assert "hall 3" in text
    assert text.index("gw-2") < text.index("gw-1")
    assert "released" in text


def test_a_version_shows_its_report_and_is_pushed_with_its_form_only(
    browser: Any, engine: Engine, config: Config
) -> None:
    add_model(engine)
    say(engine, "hall/1")
    text = page(browser, "/models/pump/1")
    assert "parity max error" in text
    assert "3e-09" in text
    assert 'value="gateway:hall/1"' in text
    assert browser.post("/models/pump/1/push", data={"target": "all"}).status_code == 400
    form = {"csrf_token": csrf_token(text)}
    assert "Choose whom" in browser.post("/models/pump/1/push", data=form).get_data(as_text=True)
    gone = browser.post("/models/pump/1/push", data={**form, "target": "group:roof"})
    assert gone.status_code == 409
    assert "No gateway is in group" in gone.get_data(as_text=True)
    answer = browser.post("/models/pump/1/push", data={**form, "target": "gateway:hall/1"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models")
    assert "waits for the broker" in page(browser)


def test_rolling_back_and_unloading_have_a_page_that_does_not_change_under_the_hand(
    browser: Any, engine: Engine, config: Config
) -> None:
    add_model(engine)
    say(engine, "gw-1")
    push(engine, config)
    text = page(browser, "/models/pump/orders")
    assert "data-source" not in text
    form = {"csrf_token": csrf_token(text), "target": "all"}
    refused = browser.post("/models/pump/rollback", data=form)
    assert (refused.status_code, "no earlier version" in refused.get_data(as_text=True)) == (409, True)
    assert browser.post("/models/pump/unload", data=form).status_code == 303
    assert browser.post("/models/pump/rollback", data=form).status_code == 303


def train(engine: Engine, *, seed: int | None = None) -> None:
    """Do the job that waits, or with a `seed` one on generated data."""
    with writing(engine) as connection:
        if seed is not None:
            wanted = TrainRequest("pump", synthetic=Synthetic(2000, 2, seed))
            jobs.enqueue(connection, wanted, "ann", time.time(), 10)
        job = jobs.claim(connection, time.time())
    assert job is not None
    worker.work(engine, LearningSection(trees=10), job.number)


def test_a_version_shows_backtest_drift_and_plots(browser: Any, engine: Engine) -> None:
    add_model(engine)  # its bytes are none that can be compared with
    train(engine, seed=1)
    train(engine, seed=5)
    assert "could not be compared with version 1" in page(browser, "/models/pump/2")
    text = page(browser, "/models/pump/3")
    assert '<span class="drift drift-strong">strong drift</span> since version 2' in text
    assert "Alerts per device-week" in text
    assert "known to be anomalous: judged, not trained with" in text
    sources = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', text)
    assert len(sources) == 4
    for source, words in sources:
        answer = browser.get(source)
        assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
        assert words.split(":")[0] in answer.get_data(as_text=True)
        assert "style-src 'unsafe-inline'; sandbox" in answer.headers["Content-Security-Policy"]
    assert '<span class="drift drift-strong">strong</span>' in page(browser)


def test_training_is_asked_for_by_its_form_and_shown_until_it_ends(browser: Any, engine: Engine) -> None:
    deliver(engine, samples(1), samples(2))
    assert "600 readings to train with" in page(browser)
    text = page(browser, "/models/pump/train")
    assert '<option value="isolation_forest" selected>' in text
    assert text.count("<option") == len(ALGORITHMS)
    form = {"csrf_token": csrf_token(text), "algorithm": "isolation_forest"}
    assert browser.post("/models/pump/train", data={"algorithm": "isolation_forest"}).status_code == 400
    wrong = browser.post("/models/pump/train", data={**form, "algorithm": "magic"})
    assert (wrong.status_code, "there are" in wrong.get_data(as_text=True)) == (400, True)
    assert browser.post("/models/pump/train", data=form).status_code == 303
    assert ">Training</span> waiting" in page(browser)
    assert browser.post("/models/pump/train", data=form).status_code == 409
    train(engine)
    text = page(browser)
    assert ">Training</span>" not in text
    assert "version 1" in text


def test_two_versions_are_compared_side_by_side(browser: Any, engine: Engine) -> None:
    train(engine, seed=1)
    train(engine, seed=5)
    assert "Compare two versions" in page(browser)
    text = page(browser, "/models/pump/compare")
    assert re.findall(r'<th scope="col">(Version \d)</th>', text)[:2] == ["Version 1", "Version 2"]
    assert "Alerts per device-week" in text
    assert "strong drift since version 1" in text
    assert len(re.findall(r"<img ", text)) == 7  # the first has no version before it to have drifted from
    swapped = page(browser, "/models/pump/compare?a=2&b=1")
    assert re.findall(r'<th scope="col">(Version \d)</th>', swapped)[:2] == ["Version 2", "Version 1"]
    for nonsense in ("a=7&b=x", "a=-1", "a=99999999999999999999"):
        assert browser.get(f"/models/pump/compare?{nonsense}").status_code == 200
    assert browser.get("/models/fan/compare").status_code == 404


def test_a_released_version_is_rolled_back_in_one_click(browser: Any, engine: Engine, config: Config) -> None:
    for _ in range(2):
        add_model(engine)
    say(engine, "gw-1")
    push(engine, config, 1)
    push(engine, config, 2)
    text = page(browser, "/models/pump/2")
    assert "Roll back pump everywhere" in text
    assert "Roll back pump from version 2" in page(browser, "/gateways/gw-1")
    form = {"csrf_token": csrf_token(text), "target": "gateway:gw-1"}
    assert browser.post("/models/pump/rollback", data=form).status_code == 303
    assert "Roll back pump from version 1" in page(browser, "/gateways/gw-1")


def test_a_training_that_was_refused_says_why_on_the_page(browser: Any, engine: Engine) -> None:
    deliver(engine, samples(1, readings=50))
    form = {"csrf_token": csrf_token(page(browser, "/models/pump/train")), "algorithm": "isolation_forest"}
    browser.post("/models/pump/train", data=form)
    train(engine)
    assert "The last training failed: profile &#39;pump&#39;: 35 full windows" in page(browser)


def test_what_is_not_there_is_a_page_that_says_so(browser: Any) -> None:
    gone = ("/models/pump/1", "/models/pump/orders", "/models/pump/999999999999999999999")
    for path in (*gone, "/models/pump/train", "/models/pump/1/plots/scores.svg"):
        assert browser.get(path).status_code == 404


def test_without_a_signing_key_the_page_says_so(browser: Any, engine: Engine, config: Config) -> None:
    add_model(engine)
    say(engine, "gw-1")
    form = {"csrf_token": csrf_token(page(browser, "/models/pump/1")), "target": "all"}
    (config.state_dir / state.SIGNING_KEY_FILE).unlink()
    assert "No orders can be given" in page(browser)
    assert browser.post("/models/pump/1/push", data=form).status_code == 503


def test_the_refreshed_part_is_sent_only_when_it_has_changed(browser: Any, engine: Engine, config: Config) -> None:
    add_model(engine)
    say(engine, "gw-1")
    first = browser.get("/models/overview")
    known = {"If-None-Match": first.headers["ETag"]}
    assert browser.get("/models/overview", headers=known).status_code == 304
    push(engine, config)
    assert browser.get("/models/overview", headers=known).status_code == 200


def test_hostile_names_stay_text_and_nothing_runs_inline(browser: Any, engine: Engine, config: Config) -> None:
    _, name = add_model(engine, HOSTILE)
    say(engine, f"gw{HOSTILE}", models={HOSTILE: RunningModel(1, name, HOSTILE)})
    groups.assign(engine, f"gw{HOSTILE}", HOSTILE)
    push(engine, config, profile=HOSTILE)
    report(engine, Activation(HOSTILE, name, 1, "refused", HOSTILE, HOSTILE, 1), name=f"gw{HOSTILE}")
    links = set(re.findall(r'href="(/models/[^"]+)"', page(browser)))
    assert len(links) == 3
    for path in ("/models", "/models/overview", *links):
        text = page(browser, path)
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "style=" not in text
        assert not re.search(r"<script(?![^>]*src=)", text)
