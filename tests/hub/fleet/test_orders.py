"""Orders: desired state and signed manifests for every gateway in one transaction, or nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, event, func, select

from tests.hub.updating import KEY, add_model
from vedette_hub.config import LimitsSection
from vedette_hub.fleet import groups, orders
from vedette_hub.fleet.arrivals import parse
from vedette_hub.fleet.commit import commit
from vedette_hub.fleet.orders import (
    NothingToChangeError,
    OrderError,
    Targets,
    UnknownModelError,
    UnknownTargetError,
)
from vedette_hub.learning import registry
from vedette_hub.store import rollout as store
from vedette_hub.store.database import reading, writing
from vedette_hub.store.schema import artifacts, desired, manifests
from vedette_models import topics
from vedette_models.keys import key_ring
from vedette_models.manifest import Manifest, verify
from vedette_models.messages import Status, to_bytes

NOW = 1_800_000_000.0
RING = key_ring(KEY.verify_key)
ALL = Targets()


def say(engine: Engine, name: str, **fields: object) -> None:
    status = Status(**{"gateway": name, "online": True, "time": NOW, **fields})  # type: ignore[arg-type]
    commit(engine, parse(topics.gateway_up(name, "status"), to_bytes(status)), NOW, LimitsSection())


def manifest(engine: Engine, name: str, **known: object) -> Manifest:
    with reading(engine) as connection:
        body = connection.execute(select(manifests.c.body).where(manifests.c.gateway == name)).scalar_one()
    return verify(body, RING, name, **{"now": NOW, "last_counter": 0, **known})  # type: ignore[arg-type]


def due(engine: Engine) -> dict[str, str]:
    with reading(engine) as connection:
        return {row.gateway: row.due for row in connection.execute(select(manifests.c.gateway, manifests.c.due))}


@pytest.fixture
def fleet(engine: Engine) -> Engine:
    for name in ("hall/1", "hall/2", "yard"):
        say(engine, name)
    groups.assign(engine, "hall/1", "hall")
    groups.assign(engine, "hall/2", "hall")
    return engine


def test_a_push_to_all_is_one_transaction_with_a_signed_manifest_for_each(fleet: Engine) -> None:
    version, sha256 = add_model(fleet)
    begun: list[str] = []
    event.listen(fleet, "commit", lambda _: begun.append("commit"))
    ordered = orders.push(fleet, KEY, "pump", version, ALL, "ann", NOW)
    assert begun == ["commit"]
    assert [(item.gateway, item.counter) for item in ordered.gateways] == [("hall/1", 1), ("hall/2", 1), ("yard", 1)]
    for name in ("hall/1", "hall/2", "yard"):
        assert manifest(fleet, name).releases["pump"].sha256 == sha256
    with reading(fleet) as connection:
        found = registry.find(connection, "pump", version)
    assert found is not None
    assert found.stage == "released"


def test_a_push_that_fails_for_one_gateway_changes_nothing(fleet: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vedette_models.manifest.MAX_PROFILES", 2)
    version, _ = add_model(fleet)
    for number in range(2):
        add_model(fleet, f"other-{number}")
        orders.push(fleet, KEY, f"other-{number}", 1, Targets(("yard",)), "ann", NOW)
    with pytest.raises(OrderError, match=r"'yard'.*more than 2 profiles.*nothing was ordered"):
        orders.push(fleet, KEY, "pump", version, ALL, "ann", NOW)
    with reading(fleet) as connection:
        ordered = select(func.count()).select_from(desired).where(desired.c.profile == "pump")
        assert connection.execute(ordered).scalar_one() == 0
    assert set(due(fleet)) == {"yard"}


def test_a_group_gets_it_and_the_others_do_not(fleet: Engine) -> None:
    version, _ = add_model(fleet)
    orders.push(fleet, KEY, "pump", version, Targets(group="hall"), "ann", NOW)
    assert set(due(fleet)) == {"hall/1", "hall/2"}


def test_two_pushes_in_quick_succession_end_with_the_second_and_the_first_to_go_back_to(fleet: Engine) -> None:
    (one, _), (two, _) = add_model(fleet), add_model(fleet)
    orders.push(fleet, KEY, "pump", one, ALL, "ann", NOW)
    with writing(fleet) as connection:
        store.manifests_published(connection, {"yard": 1}, NOW)
    orders.push(fleet, KEY, "pump", two, ALL, "ann", NOW)
    with writing(fleet) as connection:  # the first push's acknowledgement comes late
        store.manifests_published(connection, {"hall/1": 1}, NOW)
    assert due(fleet) == {"hall/1": "publish", "hall/2": "publish", "yard": "publish"}
    found = manifest(fleet, "yard")
    assert (found.counter, found.releases["pump"].version, found.previous["pump"].version) == (2, 2, 1)


def test_a_roll_back_is_a_higher_counter_with_the_older_version(fleet: Engine) -> None:
    (one, _), (two, _) = add_model(fleet), add_model(fleet)
    orders.push(fleet, KEY, "pump", one, ALL, "ann", NOW)
    orders.push(fleet, KEY, "pump", two, Targets(group="hall"), "ann", NOW)
    ordered = orders.roll_back(fleet, KEY, "pump", ALL, "bob", NOW)
    assert [(item.gateway, item.version) for item in ordered.gateways] == [("hall/1", 1), ("hall/2", 1)]
    assert ordered.skipped == ("yard",)
    assert manifest(fleet, "hall/1", last_counter=2).releases["pump"].version == 1


def test_a_version_is_released_while_anything_refers_to_it_and_retired_afterwards(fleet: Engine) -> None:
    for _ in range(3):
        add_model(fleet)
    for version in (1, 2, 3):
        orders.push(fleet, KEY, "pump", version, ALL, "ann", NOW)
    with reading(fleet) as connection:
        stages = {model.version: model.stage for model in registry.list_versions(connection, limit=9)}
    assert stages == {1: "retired", 2: "released", 3: "released"}


def test_an_unloaded_profile_is_in_no_manifest_and_a_roll_back_brings_it_back(fleet: Engine) -> None:
    add_model(fleet)
    orders.push(fleet, KEY, "pump", 1, ALL, "ann", NOW)
    orders.unload(fleet, KEY, "pump", ALL, "ann", NOW)
    assert manifest(fleet, "yard").releases == {}
    orders.roll_back(fleet, KEY, "pump", ALL, "ann", NOW)
    assert manifest(fleet, "yard").releases["pump"].version == 1


def test_other_profiles_stay_in_the_manifest(fleet: Engine) -> None:
    add_model(fleet)
    add_model(fleet, "fan")
    orders.push(fleet, KEY, "pump", 1, ALL, "ann", NOW)
    orders.push(fleet, KEY, "fan", 1, ALL, "ann", NOW)
    assert set(manifest(fleet, "yard").releases) == {"pump", "fan"}
    orders.unload(fleet, KEY, "fan", Targets(("yard",)), "ann", NOW)
    assert set(manifest(fleet, "yard").releases) == {"pump"}


def test_the_counter_is_above_what_the_gateway_reports(fleet: Engine) -> None:
    add_model(fleet)
    say(fleet, "yard", manifest=41, nonce="n1")
    ordered = orders.push(fleet, KEY, "pump", 1, Targets(("yard",)), "ann", NOW)
    assert ordered.gateways[0].counter == 42
    assert manifest(fleet, "yard", last_counter=41).nonce == "n1"


def test_what_is_unknown_is_named_with_what_there_is(fleet: Engine) -> None:
    with pytest.raises(UnknownModelError, match="no model of profile 'pump'; profiles with models: none yet"):
        orders.push(fleet, KEY, "pump", 1, ALL, "ann", NOW)
    add_model(fleet)
    with pytest.raises(UnknownModelError, match="'pump' has no version 9; its newest are 1"):
        orders.push(fleet, KEY, "pump", 9, ALL, "ann", NOW)
    with pytest.raises(UnknownTargetError, match="no such gateway: 'moon'") as gateway:
        orders.push(fleet, KEY, "pump", 1, Targets(("yard", "moon")), "ann", NOW)
    assert gateway.value.field == "gateways"
    with pytest.raises(UnknownTargetError, match="in group 'roof'; groups: hall") as group:
        orders.push(fleet, KEY, "pump", 1, Targets(group="roof"), "ann", NOW)
    assert group.value.field == "group"
    with pytest.raises(NothingToChangeError, match="no earlier version"):
        orders.roll_back(fleet, KEY, "pump", ALL, "ann", NOW)
    with pytest.raises(NothingToChangeError, match="no model is ordered"):
        orders.unload(fleet, KEY, "pump", ALL, "ann", NOW)
    with pytest.raises(UnknownModelError, match="profile 'fan'"):
        orders.roll_back(fleet, KEY, "fan", ALL, "ann", NOW)
    assert due(fleet) == {}


def test_without_gateways_there_is_nobody_to_push_to(engine: Engine) -> None:
    add_model(engine)
    with pytest.raises(UnknownTargetError, match="no gateways yet"):
        orders.push(engine, KEY, "pump", 1, ALL, "ann", NOW)


def test_statuses_mark_what_is_due(fleet: Engine) -> None:
    add_model(fleet)
    orders.push(fleet, KEY, "pump", 1, ALL, "ann", NOW - 1000)
    with writing(fleet) as connection:
        store.manifests_published(connection, {"hall/1": 1, "hall/2": 1, "yard": 1}, NOW - 1000)
    say(fleet, "hall/1", manifest=1)
    say(fleet, "hall/2", manifest=0)
    say(fleet, "yard", manifest=7)
    assert due(fleet) == {"hall/1": "", "hall/2": "publish", "yard": "sign"}


def test_an_artefact_that_is_being_cleared_is_published_when_it_is_ordered_again(fleet: Engine) -> None:
    _, sha256 = add_model(fleet)
    for _ in range(2):
        add_model(fleet)
    for version in (1, 2, 3):
        orders.push(fleet, KEY, "pump", version, ALL, "ann", NOW)
    with writing(fleet) as connection:
        assert store.retire_artifacts(connection) == [sha256]
    orders.push(fleet, KEY, "pump", 1, ALL, "ann", NOW)
    with writing(fleet) as connection:
        store.artifact_cleared(connection, sha256)  # the clearing ends after the order
        row = connection.execute(select(artifacts).where(artifacts.c.sha256 == sha256)).one()
    assert row.due == "publish"
