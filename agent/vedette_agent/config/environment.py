"""What the environment adds to the file: `${VAR}` inside text, and `VEDETTE_SECTION__KEY` in its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vedette_agent.config.problems import KeyPath, Problem, choices, did_you_mean
from vedette_agent.config.units import ExternalText

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

PREFIX = "VEDETTE_"
_HUB_PROGRAM = "VEDETTE_HUB_"
_NOT_OVERRIDES = frozenset({"VEDETTE_CONFIG"})
_REFERENCE = re.compile(r"\$\$|\$\{([^}:]*)(?::-([^}]*))?\}|\$\{")


def substitute(
    value: Any, environment: Mapping[str, str], report: Callable[[KeyPath, str], None], path: KeyPath = ()
) -> Any:
    """`value` with `${VAR}` and `${VAR:-default}` replaced in every text, keys left alone; `$${` stands for `${`.

    `report(path, message)` is told of what cannot be replaced.
    """
    if isinstance(value, dict):
        return {key: substitute(item, environment, report, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, environment, report, (*path, index)) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$$":
            # Only `$${` is an escape: two dollars elsewhere are two dollars.
            return "$" if value.startswith("{", found.end()) else "$$"
        name, default = found[1], found[2]
        if name is None or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            report(path, f"{found[0]} is no variable: write ${{NAME}} or ${{NAME:-default}}, and $${{ for a plain ${{")
            return ""
        if environment.get(name):
            return environment[name]
        if default is not None:
            return default
        state = "empty" if name in environment else "not set"
        report(path, f"environment variable {name} is {state}: set it, or write ${{{name}:-default}}")
        return ""

    return ExternalText(_REFERENCE.sub(replace, value))


def overrides(
    environment: Mapping[str, str], sections: Mapping[str, Collection[str]]
) -> tuple[dict[tuple[str, str], str], list[Problem]]:
    """Variable name by (section, key) for every `VEDETTE_SECTION__KEY`, and what is wrong with the others.

    `VEDETTE_HUB_…` with a single underscore belongs to the hub's own program, which may run on the same machine.
    """
    known = {f"{PREFIX}{section}__{key}".upper(): (section, key) for section, keys in sections.items() for key in keys}
    found: dict[tuple[str, str], str] = {}
    problems = []
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable in _NOT_OVERRIDES:
            continue
        if variable.startswith(_HUB_PROGRAM) and not variable.startswith(f"{_HUB_PROGRAM}_"):
            continue
        if variable in known:
            found[known[variable]] = variable
            continue
        names = [name.removeprefix(PREFIX) for name in known]
        hint = did_you_mean(variable.removeprefix(PREFIX), names).replace('"', f'"{PREFIX}', 1)
        if not hint and variable.removeprefix(PREFIX).startswith(("STREAMS", "PROFILES")):
            hint = ": streams and profiles are set in the file only"
        elif not hint:
            hint = f": variables are called {PREFIX}SECTION__KEY, sections are {choices(sections)}"
        problems.append(Problem(variable, None, "", f"unknown variable{hint}"))
    return found, problems
