"""A filled hub, made once: each test has a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.hub.keeping.filled import Place, fill


@pytest.fixture(scope="package")
def template(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("filled") / "hub")
    fill(made)
    return made


@pytest.fixture
def place(template: Place, tmp_path: Path) -> Place:
    shutil.copytree(template.folder, tmp_path / "hub")
    return Place(tmp_path / "hub")
