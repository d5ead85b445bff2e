"""The shipped units: how far they are exposed, by systemd's own measure, and that they can still do their job."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import ROOT

UNITS = ROOT / "systemd"
DEBIAN = Path("/lib/systemd/system/mosquitto.service")
MOST = 1.5
NO_SYSTEMD = "systemd-analyze is not installed (Debian: apt-get install systemd)"
OURS = ("vedette-agent.service", "vedette-hub.service")
ALL = (*OURS, "mosquitto.service")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with our units, and Debian's of Mosquitto with our drop-in, whose programs are there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip(NO_SYSTEMD)
    if not DEBIAN.exists():
        pytest.skip("Debian's mosquitto.service is not installed (apt-get install mosquitto)")
    folder = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree(UNITS, folder)
    shutil.copy(DEBIAN, folder)
    for target in ("network-online", "network", "time-sync", "multi-user", "sysinit", "basic", "shutdown"):
        (folder / f"{target}.target").write_text("[Unit]\n")
    for program in ("opt/vedette/bin/vedette-agent", "opt/vedette/bin/vedette-hub", "usr/sbin/mosquitto", "bin/kill"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return tmp_path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", "--no-pager", *map(str, words)], capture_output=True, text=True)


def exposure(root: Path, unit: str) -> float:
    said = analyze("security", "--offline=true", f"--root={root}", unit).stdout
    found = re.search(rf"Overall exposure level for {re.escape(unit)}: ([0-9.]+)", said)
    assert found, said
    return float(found[1])


@pytest.mark.parametrize("unit", ALL)
def test_no_unit_is_exposed_more_than_1_5(root: Path, unit: str) -> None:
    assert exposure(root, unit) <= MOST


def test_the_measure_notices_a_unit_that_was_opened(root: Path) -> None:
    unit = root / "etc" / "systemd" / "system" / OURS[0]
    lines = unit.read_text().splitlines()
    unit.write_text("\n".join(line for line in lines if not line.startswith(("SystemCallFilter", "Protect"))))
    assert exposure(root, OURS[0]) > MOST


@pytest.mark.parametrize("unit", ALL)
def test_systemd_finds_nothing_wrong_with_a_unit(root: Path, unit: str) -> None:
    said = analyze("verify", "--man=no", "--generators=no", f"--root={root}", f"/etc/systemd/system/{unit}")
    ours = [line for line in said.stderr.splitlines() if unit in line or "vedette.conf" in line]
    assert (said.returncode, ours) == (0, []), said.stderr


@pytest.mark.parametrize("unit", OURS)
def test_a_unit_is_watched_started_for_ever_and_keeps_its_state(unit: str) -> None:
    text = (UNITS / unit).read_text()
    name = unit.removesuffix(".service")
    for line in (
        "Type=notify",
        "WatchdogSec=60",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "RestartPreventExitStatus=2",
        f"StateDirectory={name}",
        f"ExecStart=/opt/vedette/bin/{name} ",
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
        "#LoadCredential=",
    ):
        assert re.search(rf"(?m)^{re.escape(line)}", text), line
