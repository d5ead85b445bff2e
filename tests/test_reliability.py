"""What docs/reliability.md names is there: files, targets of make, tests, modules."""

from __future__ import annotations

import importlib.util
import re

import pytest

from tests.processes import ROOT

PAGE = ROOT / "docs" / "reliability.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)", TEXT))))
def test_what_is_linked_is_there(link: str) -> None:
    assert (PAGE.parent / link).exists()


def test_every_command_is_there() -> None:
    targets = set(re.findall(r"`make ([a-z-]+)`", TEXT))
    assert targets >= {"faults", "fuzz", "bench-outage", "bench-flash-writes"}
    assert targets <= set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    tests = set(re.findall(r"`(?:[A-Z_]+=1 )?pytest [^`]*?(tests/[a-z_/.]+)", TEXT))
    assert len(tests) >= 5
    assert all((ROOT / path).exists() for path in tests)
    modules = set(re.findall(r"`python -m ([a-z._]+)", TEXT))
    assert "tests.simulation" in modules
    assert all(importlib.util.find_spec(name) for name in modules)
