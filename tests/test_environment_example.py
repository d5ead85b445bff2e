"""`.env.example` names variables that there are, with the defaults that they have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomli

from tests.processes import ROOT
from vedette_agent.config import ConfigError
from vedette_agent.config import load as load_agent
from vedette_hub.config import Config, load

TEXT = (ROOT / ".env.example").read_text(encoding="utf-8")
VARIABLES = dict(re.findall(r"^#(VEDETTE_[A-Z_]+)=(.*)$", TEXT, re.MULTILINE))
FILES = {"VEDETTE_HUB_CONFIG", "VEDETTE_CONFIG"}
OF_THE_AGENT = {name: value for name, value in VARIABLES.items() if "__" in name}
OF_THE_HUB = {name: value for name, value in VARIABLES.items() if name not in OF_THE_AGENT and name not in FILES}


def test_nothing_in_it_counts_before_somebody_says_so() -> None:
    assert all(line.startswith("#") for line in TEXT.splitlines() if line.strip())
    assert len(OF_THE_HUB) > 15
    assert len(OF_THE_AGENT) > 8


def test_the_hub_knows_its_variables_and_what_is_there_are_its_defaults() -> None:
    # What is the agent's may be in the same environment.
    assert load(None, {**OF_THE_HUB, **OF_THE_AGENT}) == Config()


def test_the_agent_knows_its_variables_and_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        '[gateway]\nid = "x"\n[devices]\nurl = "mqtt://h"\n[hub]\nurl = "mqtt://h"\n'
        '[[streams]]\ntopic = "plant/{device}/telemetry"\nprofile = "pump"\n[profiles.pump]\nchannels = ["a"]\n'
    )
    for name in ("devices.password", "hub.password"):
        (tmp_path / name).write_text("secret\n")
    variables = {name: value.replace("/etc/vedette", str(tmp_path)) for name, value in OF_THE_AGENT.items()}
    loaded = load_agent(path, {**OF_THE_HUB, **variables, "VEDETTE_HUB_CONFIG": "x"})
    assert (loaded.gateway.id, loaded.metrics.port) == ("gateway-1", 0)
    assert loaded.hub is not None
    assert loaded.hub.url == "mqtts://hub.example.org:8883"
    with pytest.raises(ConfigError, match="VEDETTE_GATEWAY__IDD"):
        load_agent(path, {"VEDETTE_GATEWAY__IDD": "x"})


def test_the_defaults_of_the_agent_are_those_of_its_commented_file() -> None:
    commented = re.sub(r"^#(?=[a-z_]+ = )", "", (ROOT / "configs/agent.toml").read_text(), flags=re.MULTILINE)
    examples = re.compile(r"__(ID|URL|USERNAME|PASSWORD_FILE)$")
    for name, value in OF_THE_AGENT.items():
        if examples.search(name) is None:
            section, key = name.removeprefix("VEDETTE_").lower().split("__")
            line = re.search(rf"^\[{section}\]$.*?^({key} = .*?)$", commented, re.MULTILINE | re.DOTALL)
            assert line is not None, name
            assert str(tomli.loads(line[1])[key]) == value, name
