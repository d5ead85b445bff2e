"""The contracts between the packages hold, and each of them notices when it is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = ("agent", "hub", "models")
LINT_IMPORTS = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]

VIOLATIONS = {
    "agent imports hub": ("agent/vedette_agent/status.py", "vedette_hub.store", "agent and hub do not know each other"),
    "hub imports agent": (
        "hub/vedette_hub/store/alerts.py",
        "vedette_agent.reading.decide",
        "agent and hub do not know",
    ),
    "models import agent": ("models/vedette_models/topics.py", "vedette_agent.config", "models stand alone"),
    "models import hub": ("models/vedette_models/messages.py", "vedette_hub.store", "models stand alone"),
    "agent imports scikit-learn": (
        "agent/vedette_agent/reading/pipeline.py",
        "sklearn.ensemble",
        "stay out of the gateway",
    ),
    "agent imports Flask": ("agent/vedette_agent/status.py", "flask", "stay out of the gateway"),
    "agent imports joblib": ("agent/vedette_agent/reading/checkpoint.py", "joblib", "stay out of the gateway"),
    "models import scipy": ("models/vedette_models/detectors/rangebreak.py", "scipy.stats", "stay out of the gateway"),
    "models import pandas": ("models/vedette_models/readings.py", "pandas", "stay out of the gateway"),
    "models import statsmodels": ("models/vedette_models/rounds.py", "statsmodels.api", "stay out of the gateway"),
    "reading imports delivery": (
        "agent/vedette_agent/reading/decode.py",
        "vedette_agent.delivery.outbox",
        "only agent.py composes the gateway",
    ),
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the packages and of the contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for home in HOMES:
        shutil.copytree(ROOT / home, tmp_path / home, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint_imports(house: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(house / home) for home in HOMES)
    return subprocess.run(
        LINT_IMPORTS, cwd=house, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )


def test_the_contracts_hold(house: Path) -> None:
    checked = lint_imports(house)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 broken" in checked.stdout


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(violation: str, house: Path) -> None:
    file, imported, contract = VIOLATIONS[violation]
    with (house / file).open("a") as source:
        source.write(f"\nimport {imported}\n")

    checked = lint_imports(house)

    assert checked.returncode == 1, checked.stdout + checked.stderr
    broken = [line for line in checked.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(contract in line for line in broken), checked.stdout
