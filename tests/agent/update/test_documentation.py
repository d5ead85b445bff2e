"""What the operator reads about refusals is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from vedette_agent.update import updater
from vedette_agent.update.model_store import COPY, FOLDER, JOURNAL
from vedette_models.rejection import Rejection

TEXT = (Path(__file__).parents[3] / "docs" / "updating-models.md").read_text()


def test_every_reason_is_explained_once() -> None:
    explained = re.findall(r"(?m)^\| `(\w+)` \| (?:artefact|manifest|both) \| .{10,} \|$", TEXT)
    assert explained == [reason.value for reason in Rejection]


def test_names_and_limits_are_those_of_the_code() -> None:
    assert f"`{JOURNAL}`, `{COPY}`" in TEXT
    assert f"In `{FOLDER}` below" in TEXT
    assert f"at most {updater.REFUSALS_PER_HOUR} an hour" in TEXT
    assert f"tries again every {updater.RETRY:.0f} seconds" in TEXT
