"""`vedette-agent model`: what it shows, what it verifies, how it goes back, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from nacl.signing import SigningKey

from tests.agent.update.gateway import Gateway
from tests.agent.update.hostile import artefacts
from tests.agent.update.model_hub import PROFILE, ModelHub, model, release
from tests.brokers import Mosquitto
from vedette_agent.cli import main
from vedette_agent.config import load
from vedette_agent.delivery.database import FILE
from vedette_agent.delivery.outbox import Outbox
from vedette_agent.delivery.requests import Requests
from vedette_agent.update import answer
from vedette_agent.update.journal import Held, Journal, Running
from vedette_agent.update.model_store import COPY, FOLDER, JOURNAL, ModelStore
from vedette_models import artifact

NOWHERE = 1


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    """An agent that does not run."""
    return Gateway(tmp_path, NOWHERE, SigningKey(bytes(32)).verify_key)


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["model", "verify", *map(str, arguments)])


# show


def test_show_on_a_new_gateway_says_that_nothing_has_come(gateway: Gateway) -> None:
    assert (gateway.cli("show").exit_code, gateway.cli("show").stdout) == (
        0,
        "no model from the hub has come to this gateway yet\n",
    )
    assert gateway.journal() == {}
    assert not gateway.state.exists(), "looking writes nothing"


def written(gateway: Gateway) -> ModelStore:
    old, new, refused = (release(version, model(version)) for version in (1, 2, 3))
    store = ModelStore(gateway.state)
    store.write(
        Journal(
            7,
            {PROFILE: refused},
            {PROFILE: Running(new, 1.7e9)},
            {PROFILE: Running(old, 1.6e9)},
            {PROFILE: Held(refused.sha256, "golden_mismatch")},
        )
    )
    return store


def test_show_says_what_runs_what_ran_before_and_what_was_refused(gateway: Gateway) -> None:
    written(gateway)
    lines = gateway.cli("show").stdout.splitlines()
    assert lines == [
        "manifest 7",
        f"pump  runs    version 2 of isolation_forest, since 2023-11-14 22:13:20 UTC, {artifact.sha256(model(2))[:12]}",
        f"pump  before  version 1 of isolation_forest, since 2020-09-13 12:26:40 UTC, {artifact.sha256(model(1))[:12]}",
        "pump  ordered version 3: golden_mismatch",
    ]
    shown = gateway.journal()
    assert (shown["counter"], shown["current"][PROFILE]["release"]["version"]) == (7, 2)


def test_show_says_that_the_counter_is_lost(gateway: Gateway) -> None:
    folder = written(gateway).folder
    for name in (JOURNAL, COPY):
        (folder / name).write_text("damaged")
    assert gateway.cli("show").stdout == "manifest lost: waiting for the hub to answer our nonce\n"
    assert gateway.journal()["counter"] is None
    assert (folder / JOURNAL).read_text() == "damaged", "looking writes nothing"


def test_show_of_a_folder_that_is_none_says_so(gateway: Gateway) -> None:
    gateway.state.mkdir()
    (gateway.state / FOLDER).write_text("")
    shown = gateway.cli("show")
    assert (shown.exit_code, "Not a directory" in shown.stderr) == (1, True)


# verify


def test_verify_accepts_what_the_gateway_would_run(tmp_path: Path) -> None:
    path = tmp_path / "good.model"
    path.write_bytes(model(1))
    result = verify("--json", path)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "accepted": True,
        "sha256": artifact.sha256(model(1)),
        "bytes": len(model(1)),
        "detector": "isolation_forest",
        "profile": PROFILE,
        "channels": ["flow", "pressure"],
        "samples": 1_588,
    }
    assert "channels  flow, pressure\n" in verify(path).stdout


def test_verify_refuses_with_the_reason_and_executes_nothing(tmp_path: Path) -> None:
    proof, path = tmp_path / "executed", tmp_path / "bad.model"
    for name, (data, reason) in artefacts(proof).items():
        if reason in ("other_profile", "other_channels"):  # as good as any other, for a gateway that has them
            continue
        path.write_bytes(data)
        result = verify("--json", path)
        assert (result.exit_code, json.loads(result.stdout)["reason"]) == (1, reason.value), name
    assert not proof.exists()
    assert verify(path).stdout.startswith("refused: golden_mismatch: ")


def test_verify_of_a_file_that_is_not_there_is_another_exit_code(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        result = verify("--json", path)
        assert (result.exit_code, result.stdout, why in result.stderr) == (2, "", True)


def test_verify_reads_no_more_than_a_model_may_have(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    assert "too_large" in verify(path).stdout


# rollback


def test_rollback_where_no_agent_has_been_says_so(gateway: Gateway) -> None:
    result = gateway.cli("rollback", PROFILE)
    assert (result.exit_code, "no agent has used" in result.stderr) == (1, True)


def test_rollback_without_an_answer_is_another_exit_code(gateway: Gateway) -> None:
    written(gateway)
    config = load(gateway.config, {})
    Outbox(gateway.state / FILE, "gw", config.outbox, to_hub=True).close()
    result = gateway.cli("rollback", "--timeout", "0.1", "--json", PROFILE)
    assert (result.exit_code, json.loads(result.stdout)["done"]) == (3, False)
    box = Outbox(gateway.state / FILE, "gw", config.outbox, to_hub=True)
    (request,) = Requests(box.database).waiting()
    box.close()
    assert answer.asked(request.argument) == (PROFILE, artifact.sha256(model(2)))


def test_asked_twice_while_the_agent_was_away_it_goes_back_once(broker: Mosquitto, tmp_path: Path) -> None:
    hub = ModelHub(broker.port, "twice")
    gateway = Gateway(tmp_path, broker.port, hub.key.verify_key, gateway="twice")
    try:
        gateway.start()
        old = hub.push(1, model(1))
        hub.runs(old)
        new = hub.push(2, model(2))
        hub.runs(new)
        gateway.stop()
        for _ in range(2):
            assert gateway.cli("rollback", "--timeout", "0.1", PROFILE).exit_code == 3
        gateway.start()
        hub.told("rolled_back", sha256=old)
        hub.runs(old)
        late = gateway.cli("rollback", PROFILE)
        assert (late.exit_code, late.stdout) == (0, "profile 'pump' runs version 2 again, until the hub orders anew\n")
        hub.runs(new)
        gateway.stop()
    finally:
        gateway.kill()
        hub.close()
    assert [a.outcome for a in hub.activations].count("rolled_back") == 2


@pytest.mark.parametrize("name", ["pump", "two words", "ü", "a/b"])
def test_a_request_names_its_profile_whatever_it_is_called(name: str) -> None:
    for leaving in ("", "a" * 64):
        assert answer.asked(answer.ask(name, leaving)) == (name, leaving)
    said = answer.Answer(True, f"profile {name!r}")
    assert answer.from_text(answer.to_text(said)) == said
    assert answer.from_text("an older agent's words") == answer.Answer(False, "an older agent's words")
