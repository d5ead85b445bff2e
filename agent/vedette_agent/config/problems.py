"""What is wrong with a configuration, where, and in which words."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vedette_agent.config.units import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root of the document: `("streams", 0, "topic")`."""

SECRET_KEYS = frozenset({"password"})
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    file: str
    """The configuration file, or the environment variable that set the value."""
    line: int | None
    """1-based; None where there is no line to speak of."""
    key: str
    """For example `streams[0].topic`; empty when the whole file is meant."""
    message: str
    """What is wrong and what to do."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        text = ": ".join(part for part in (place, self.key, self.message) if part)
        # One problem is one line, and a terminal obeys nothing that stands in a configuration.
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class ConfigError(Exception):
    """The configuration cannot be used; `problems` says everything that is wrong, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Findings:
    """Problems and warnings by key, each at the line or the environment variable that its value came from."""

    def __init__(self, file: Path, lines: Mapping[KeyPath, int], variables: Mapping[KeyPath, str]) -> None:
        self._file = str(file)
        self._lines = lines
        self._variables = variables
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []

    def add(self, path: KeyPath, message: str) -> None:
        """Something that must be put right."""
        self._problems.append(self._at(path, message))

    def warn(self, path: KeyPath, message: str) -> None:
        """Something that works, and that the operator should know."""
        self._warnings.append(self._at(path, message))

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest table around it that stands in the file."""
        while path not in self._lines and path:
            path = path[:-1]
        return self._lines.get(path, 1)

    def stands(self, path: KeyPath) -> bool:
        """Whether the file or the environment says something about exactly this key."""
        return path in self._lines or path in self._variables

    @property
    def problems(self) -> list[Problem]:
        """In the order of the file, each once; those of environment variables last."""
        return _in_order(self._problems)

    @property
    def warnings(self) -> list[Problem]:
        """As `problems`."""
        return _in_order(self._warnings)

    def _at(self, path: KeyPath, message: str) -> Problem:
        for end in range(len(path), 0, -1):
            if variable := self._variables.get(path[:end]):
                return Problem(variable, None, key_text(path), message)
            if path[:end] in self._lines:
                break
        return Problem(self._file, self.line(path), key_text(path), message)


def _in_order(problems: list[Problem]) -> list[Problem]:
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda problem: (problem.line is None, problem.line or 0))


def key_text(path: KeyPath) -> str:
    """A key as people write it.

    >>> key_text(("profiles", "big pump", "channels", 1))
    'profiles."big pump".channels[1]'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
        text += f".{name}" if text else name
    return text


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`, did you mean "detector"?` when something known is close to `word`, else nothing.

    >>> did_you_mean("detektor", ["detector", "topic"])
    ', did you mean "detector"?'
    """
    if not isinstance(word, str):
        return ""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f', did you mean "{by_lower[close[0]]}"?' if close else ""


def choices(names: Iterable[str]) -> str:
    """Names in quotes with `or` before the last.

    >>> choices(["5", "3.1.1"])
    '"5" or "3.1.1"'
    """
    quoted = [f'"{name}"' for name in names]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), *quoted[-1:])))


def unknown_key(key: object, known: Iterable[str]) -> str:
    """The message for a key that nothing here is called by."""
    names = list(known)
    return "unknown key" + (did_you_mean(key, names) or f", known here: {', '.join(names)}")


def in_words(error: Mapping[str, Any], known: Iterable[str]) -> str:
    """What pydantic found, in our words; `known` are the keys of the table it looked at."""
    context = error.get("ctx", {})
    key = error["loc"][-1] if error["loc"] else ""
    got = "" if key in SECRET_KEYS else f", got {describe(error['input'])}"
    match error["type"]:
        case "extra_forbidden":
            return unknown_key(key, known)
        case "missing":
            return "missing, add it to this table"
        case "value_error":
            return str(context["error"])
        case "string_type":
            return f"must be text in quotes{got}"
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            return f"must be {choices(allowed)}{got}{did_you_mean(error['input'], allowed)}"
        case "dict_type":
            return f"must be a table{got}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:,}{got}"
        case "less_than_equal":
            return f"must be at most {context['le']:,}{got}"
        case "greater_than":
            return f"must be more than {context['gt']:,}{got}"
        case "less_than":
            return f"must be less than {context['lt']:,}{got}"
        case _:
            return f"{str(error['msg'])[:1].lower()}{str(error['msg'])[1:]}{got}"
