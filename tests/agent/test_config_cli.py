"""`vedette-agent config` and `version` as people and programs use them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli
from click.testing import CliRunner, Result
from pydantic import BaseModel

from vedette_agent.cli import main
from vedette_agent.config import Broker, Gateway, Limits, Models, OutboxLimits, Samples, Stream, TimePolicy, load
from vedette_agent.config.health import HealthTable, RangeTable
from vedette_agent.config.profiles import ChannelTable, DecisionsTable

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs" / "agent.toml"
CASES = Path(__file__).parent / "cases" / "config"

EXAMPLES = (
    "username",
    "password",
    "password_file",
    "password_credential",
    "client_id",
    "ca_file",
    "cert_file",
    "key_file",
    "key_ring",
)
OWN = ("device", "threshold", "silent_after", r"\[streams.channels\]", r"\[profiles.pump.ranges", r"temperature = \{")


def run(*arguments: str | Path, **environment: str) -> Result:
    """The command in this process, with this environment and no other VEDETTE_ variable."""
    clean = {name: None for name in os.environ if name.startswith("VEDETTE_")}
    return CliRunner().invoke(main, [str(argument) for argument in arguments], env={**clean, **environment})


def uncommented() -> str:
    """The shipped file with every commented key and table in force."""
    return re.sub(r"(?m)^#(?=[a-z\[])", "", SHIPPED.read_text())


def test_check_prints_all_five_mistakes_of_a_file_with_their_lines() -> None:
    result = run("config", "check", "--config", CASES / "five.toml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert [line.removeprefix(str(CASES / "five.toml")).split(": ")[:2] for line in result.stderr.splitlines()] == [
        [":6", "devices.url"],
        [":7", "devices.keepalve"],
        [":10", "limits.batch"],
        [":14", "streams[0].profile"],
        [":18", "profiles.pump.channels.temperature.low"],
    ]


def test_check_says_what_was_understood() -> None:
    result = run("config", "check", "--config", ROOT / "configs" / "examples" / "nested-json.toml", HUB_PASSWORD="x")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok: gateway factory-hall2, state in /var/lib/vedette-agent",
        "ok: devices mqtt://localhost:1883 as client vedette-factory-hall2, no user, MQTT 5",
        "ok: hub     mqtts://hub.example.org:8883 as client factory-hall2, user factory-hall2, MQTT 5",
        "ok: stream  factory/hall2/telemetry → subscribes to factory/hall2/telemetry → device from meta.id → "
        "profile press → vibration [0 to 50 mm/s] from sensors.vib.rms, "
        "temperature [-20 to 200 °C] from sensors.temp.value",
        "ok: stream  cold/{device}/data → subscribes to cold/+/data → device from the topic → profile freezer → "
        "temperature [-60 to 60 °C], door",
    ]


def test_check_answers_programs_in_json() -> None:
    result = run("config", "check", "--json", "--config", CASES / "five.toml")
    answer = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, answer["ok"]) == (2, "", False)
    assert answer["problems"][0] == {
        "file": str(CASES / "five.toml"),
        "line": 6,
        "key": "devices.url",
        "message": 'must begin with "mqtt://", "mqtts://", "ws://" or "wss://"',
    }
    answer = json.loads(run("config", "check", "--json", "--config", SHIPPED).stdout)
    assert (answer["ok"], answer["problems"], len(answer["understood"])) == (True, [], 4)


def test_check_prints_warnings_beside_what_is_well(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(SHIPPED.read_text() + '[profiles.fan]\nchannels = ["speed"]\n')
    result = run("config", "check", "--config", path)
    assert (result.exit_code, result.stderr.startswith("warning: ")) == (0, True)


def test_the_environment_names_the_file_and_overrides_it() -> None:
    result = run("config", "check", VEDETTE_CONFIG=str(SHIPPED), VEDETTE_GATEWAY__ID="other")
    assert result.stdout.startswith("ok: gateway other,")
    result = run("config", "check", VEDETTE_CONFIG=str(SHIPPED), VEDETTE_GATEWAY__HEARTBEAT="x")
    assert (result.exit_code, result.stderr[:50]) == (2, "VEDETTE_GATEWAY__HEARTBEAT: gateway.heartbeat: must"[:50])


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    result = run("config", "check", "--config", tmp_path / "none.toml")
    assert (result.exit_code, "no such file" in result.stderr) == (2, True)


def test_show_prints_what_is_in_force_as_toml_that_means_the_same(tmp_path: Path) -> None:
    result = run("config", "show", "--config", SHIPPED, VEDETTE_TIME__MAX_AGE="none", VEDETTE_HUB__URL="wss://hub/x")
    assert result.exit_code == 0
    path = tmp_path / "shown.toml"
    path.write_text(result.stdout)
    expected = load(SHIPPED, {"VEDETTE_TIME__MAX_AGE": "none", "VEDETTE_HUB__URL": "wss://hub/x"})
    assert load(path, {}) == expected.model_copy(update={"source": path})


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_show_in_json_and_toml_say_the_same(path: Path) -> None:
    def without_none(value: object) -> object:
        if isinstance(value, dict):
            return {key: without_none(item) for key, item in value.items() if item is not None and item != {}}
        return [without_none(item) for item in value] if isinstance(value, list) else value

    as_json = json.loads(run("config", "show", "--json", "--config", path).stdout)
    as_toml = tomli.loads(run("config", "show", "--config", path).stdout)
    assert without_none(as_json) == without_none(as_toml)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_show_hides_passwords_wherever_they_come_from(tmp_path: Path, form: tuple[str, ...]) -> None:
    (tmp_path / "secret").write_text("geheim-1")
    path = tmp_path / "agent.toml"
    text = uncommented().replace("/etc/vedette/devices.password", "secret").replace("/etc/vedette/hub.password", "")
    lines = [
        line
        for line in text.splitlines()
        if not re.match(r"(password_credential|key_ring|\w+_file = \"/etc|device )", line)
    ]
    path.write_text(
        "\n".join(line for line in lines if line != 'password_file = ""' and "DEVICES_PASSWORD" not in line)
    )
    result = run("config", "show", *form, "--config", path, HUB_PASSWORD="geheim-2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("********") == 2
    assert "geheim" not in result.stdout + result.stderr


def test_show_of_a_bad_configuration_prints_its_problems() -> None:
    result = run("config", "show", "--config", CASES / "five.toml")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 5)


def test_init_writes_the_commented_configuration(tmp_path: Path) -> None:
    path = tmp_path / "new" / "agent.toml"
    result = run("config", "init", path)
    assert (result.exit_code, path.read_bytes()) == (0, SHIPPED.read_bytes())
    assert f"vedette-agent config check --config {path}" in result.stdout


def test_init_never_touches_a_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("mine")
    result = run("config", "init", path)
    assert (result.exit_code, path.read_text()) == (1, "mine")
    assert "exists and is left as it is" in result.stderr


def test_init_says_why_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("config", "init", tmp_path / "file" / "agent.toml")
    assert (result.exit_code, "cannot be written" in result.stderr) == (1, True)


def test_the_shipped_file_explains_every_key() -> None:
    document = tomli.loads(uncommented())
    models: dict[str, type[BaseModel]] = {
        "gateway": Gateway,
        "devices": Broker,
        "hub": Broker,
        "time": TimePolicy,
        "limits": Limits,
        "outbox": OutboxLimits,
        "models": Models,
        "samples": Samples,
    }
    assert {section: set(document[section]) for section in models} == {
        section: set(model.model_fields) for section, model in models.items()
    }
    assert set(document["streams"][0]) == set(Stream.model_fields)
    pump = document["profiles"]["pump"]
    assert set(pump["channels"]["vibration"]) == set(ChannelTable.model_fields)
    assert set(pump["decisions"]) == set(DecisionsTable.model_fields)
    assert set(pump["health"]) == set(HealthTable.model_fields)
    assert set(pump["ranges"]["pump-7"]["temperature"]) == set(RangeTable.model_fields)


def test_the_shipped_file_says_the_true_defaults(tmp_path: Path) -> None:
    examples = re.compile(rf"({'|'.join(EXAMPLES)}|{'|'.join(OWN)}|\w+ = \"sensors\.)")
    path = tmp_path / "agent.toml"
    path.write_text("\n".join(line for line in uncommented().splitlines() if not examples.match(line)))
    explicit, default = load(path, {}), load(SHIPPED, {})
    assert explicit.hub is not None
    assert explicit.model_copy(update={"source": SHIPPED, "hub": None, "warnings": ()}) == default
    own = {"url": default.devices.url, "client_id": default.devices.client_id}
    assert explicit.hub.model_copy(update=own) == default.devices


def test_version_is_printed_without_loading_the_agent() -> None:
    script = (
        "import sys; from vedette_agent.cli import main\n"
        "try: main(['version', '--json'])\n"
        "except SystemExit: print(sorted({'numpy', 'pydantic', 'paho', 'sqlite3'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    version, loaded = result.stdout.splitlines()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", json.loads(version)["version"])
    assert loaded == "[]"
