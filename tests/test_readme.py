"""What the README and its neighbours say is true: commands run, configurations are sound, links lead somewhere."""

from __future__ import annotations

import csv
import json
import math
import random
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import paho.mqtt.publish
import pytest

from tests.brokers import Mosquitto
from tests.browser.pictures import LARGEST, SHOTS
from tests.hub.learning.readings import deliver, samples
from tests.processes import MODULES, ROOT, eventually, run, running
from vedette_hub.store.database import open_store
from vedette_models import messages, topics
from vedette_models.messages import Alert

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
)


def blocks(language: str) -> list[str]:
    """The README's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where somebody has followed the README: agent.toml, a hub's configuration, a history."""
    (tmp_path / "agent.toml").write_text(blocks("toml")[0], encoding="utf-8")
    (tmp_path / "hub.toml").write_text((ROOT / "configs/hub.toml").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def follow(line: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of the README there; returns what it printed."""
    assert line in commands(), f"the README does not say {line!r}"
    ended = run(*shlex.split(line), cwd=folder, environment=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_there_is_no_command_that_no_test_here_runs() -> None:
    assert commands() == [
        "make demo",
        "make test",
        "vedette-agent config check --config agent.toml",
        "vedette-agent run --config agent.toml",
        "vedette-agent status --config agent.toml",
        "vedette-hub serve --config hub.toml",
        "vedette-hub enroll line-3 --config hub.toml",
        "vedette-hub train --profile pump --config hub.toml",
        "vedette-hub models --config hub.toml",
        "vedette-hub push pump 1 --gateway line-3 --config hub.toml",
        "vedette-hub push pump 2 --all --config hub.toml",
        "vedette-hub rollback pump --gateway line-3 --config hub.toml",
        "vedette-agent model show --config agent.toml",
        "vedette-agent replay --config agent.toml --out scores.csv pump-7.csv",
    ]


def test_the_targets_of_make_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert {"demo", "test", "install", "test-browser"} <= set(targets)


def test_the_pictures_are_small_and_of_what_the_tests_take() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((docs/[a-z]+\.png)\)", README)

    assert shown == [f"docs/{name}" for name in SHOTS.values()]
    for name in shown:
        picture = (ROOT / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) <= LARGEST


def test_ten_lines_connect_devices(folder: Path) -> None:
    assert len(blocks("toml")[0].splitlines()) == 10
    assert "plant/{device}/telemetry" in follow("vedette-agent config check --config agent.toml", folder)


def test_the_hub_is_added_by_four_lines(folder: Path) -> None:
    with (folder / "agent.toml").open("a", encoding="utf-8") as file:
        file.write(blocks("toml")[1])
    (folder / "hub.password").write_text("secret")
    (folder / "hub.password").chmod(0o600)

    assert "mqtt://localhost:1884" in follow("vedette-agent config check --config agent.toml", folder)


def test_the_agent_runs_as_written(folder: Path, mosquitto: Mosquitto) -> None:
    message = re.search(r'\{"ts": \d+.*?\}', README)
    assert message
    environment = {
        "VEDETTE_DEVICES__URL": mosquitto.url,
        "VEDETTE_GATEWAY__HEARTBEAT": "1s",
        "VEDETTE_TIME__MAX_AGE": "none",
    }
    line = "vedette-agent run --config agent.toml"
    assert line in commands()
    with running(*shlex.split(line), log=folder / "log", cwd=folder, environment=environment):

        def scored() -> bool:
            paho.mqtt.publish.single(
                "plant/pump-7/telemetry", message[0], qos=1, hostname="127.0.0.1", port=mosquitto.port
            )
            status = run(
                "vedette-agent", "status", "--json", "--config", "agent.toml", cwd=folder, environment=environment
            )
            return status.stdout != "" and json.loads(status.stdout).get("counters", {}).get("scored", 0) > 0

        eventually(scored, "a reading as in the README is scored")
        assert "gateway line-3: running" in follow("vedette-agent status --config agent.toml", folder, environment)


def test_the_hub_runs_as_written(folder: Path, mosquitto: Mosquitto) -> None:
    environment = {
        "VEDETTE_HUB_STATE_DIR": str(folder / "hub"),
        "VEDETTE_HUB_BROKER_URL": mosquitto.url,
        "VEDETTE_HUB_WEB_PORT": "0",
    }
    line = "vedette-hub serve --config hub.toml"
    assert line in commands()
    log = folder / "log"
    with running(*shlex.split(line), log=log, cwd=folder, environment=environment):
        eventually(lambda: "console: http://" in log.read_text(), "the hub says where its console is")

    assert f"user admin, password in {folder / 'hub' / 'admin-password'}" in log.read_text()


def test_a_model_is_trained_pushed_and_rolled_back_as_written(folder: Path) -> None:
    environment = {"VEDETTE_HUB_STATE_DIR": str(folder / "hub")}
    enrolled = follow("vedette-hub enroll line-3 --config hub.toml", folder, environment)
    engine = open_store(f"sqlite:///{folder / 'hub' / 'hub.db'}")
    deliver(engine, *(samples(number) for number in (1, 2, 3)), gateway="line-3")
    train = "vedette-hub train --profile pump --config hub.toml"

    assert "pump version 1 (isolation_forest)" in follow(train, folder, environment)
    assert "pump version 2 (isolation_forest)" in follow(train, folder, environment)
    assert follow("vedette-hub models --config hub.toml", folder, environment).count("candidate") == 2
    for line, ordered in (
        ("vedette-hub push pump 1 --gateway line-3 --config hub.toml", 1),
        ("vedette-hub push pump 2 --all --config hub.toml", 2),
        ("vedette-hub rollback pump --gateway line-3 --config hub.toml", 1),
    ):
        assert f"line-3\tpump: version {ordered}" in follow(line, folder, environment)

    (folder / "keyring").write_text(next(line for line in enrolled.splitlines() if "vedette-public" in line).strip())
    (folder / "hub.password").write_text("secret")
    (folder / "hub.password").chmod(0o600)
    with (folder / "agent.toml").open("a", encoding="utf-8") as file:
        file.write(blocks("toml")[1] + blocks("toml")[2] + blocks("toml")[3])
    follow("vedette-agent config check --config agent.toml", folder)
    assert "no model" in follow("vedette-agent model show --config agent.toml", folder)


def test_the_alert_is_one() -> None:
    block = blocks("json")[0]
    alert = messages.from_bytes(Alert, block.encode())

    assert json.loads(block).keys() <= {field.name for field in msgspec.structs.fields(Alert)}
    assert topics.device_alert(alert.gateway, alert.device, alert.kind) in README
    assert alert.severity in messages.SEVERITIES


def test_a_history_is_replayed_as_written(folder: Path) -> None:
    header = blocks("csv")[0].splitlines()[0].split(",")
    noise = random.Random(1)
    start = datetime.fromisoformat(blocks("csv")[0].splitlines()[1].split(",")[0])
    with (folder / "pump-7.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for i in range(800):
            fault = 3.0 if 700 <= i < 720 else 0.0
            day = math.sin(i / 288 * 2 * math.pi)
            when = (start + timedelta(minutes=5 * i)).astimezone(UTC).isoformat()
            writer.writerow((when, 1.5 + 0.2 * day + noise.gauss(0, 0.05) + fault, 45 + 2 * day + noise.gauss(0, 0.3)))

    printed = follow("vedette-agent replay --config agent.toml --out scores.csv pump-7.csv", folder)

    summary = json.loads(printed.splitlines()[-1])
    assert summary["readings"] == 800
    with (folder / "scores.csv").open(newline="") as file:
        scores = list(csv.DictReader(file))
    assert list(scores[0]) == ["time", "device", "score", "alert"]
    assert any(row["alert"] == "1" for row in scores[700:720])


def test_everything_in_the_tree_is_there() -> None:
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    tree = next(block for block in blocks if "docs/adr/" in block)
    for line in tree.splitlines():
        folder = line.split()[0]
        assert (ROOT / folder).is_dir(), folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_every_program_the_readme_names_is_known_to_the_tests() -> None:
    named = set(re.findall(r"\b(vedette-[a-z]+)\b(?= )", "\n".join(commands())))

    assert named == set(MODULES)
