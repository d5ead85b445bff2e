"""Where every key of a TOML document stands: the parser tells values, this tells lines.

It reads only as much grammar as is needed to know where keys and values begin and end, and therefore expects text
that the parser has accepted.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from typing import TYPE_CHECKING

import tomli

if TYPE_CHECKING:
    from vedette_agent.config.problems import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
# A closing delimiter may follow one or two quotes that belong to the text: the longest run of them ends it.
_MULTILINE_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL)
_MULTILINE_LITERAL = re.compile(r"'''(?:[^']|'(?!''))*'{3,5}")
_SCALAR = re.compile(r"[^,\]}#\n]+")


def key_lines(text: str) -> dict[KeyPath, int]:
    """1-based line of every table, key and list element of a valid TOML document.

    A table stands where its header is, or where it is first mentioned if it has none; `[[streams]]` is
    `("streams", 0)`, `("streams", 1)`, and so on, and `("streams",)` is the first of them.

    >>> key_lines('[a]\\nb.c = [\\n  1,\\n]')
    {('a',): 1, ('a', 'b'): 2, ('a', 'b', 'c'): 2, ('a', 'b', 'c', 0): 3}
    """
    scanner = _Scanner(text)
    # Should the parser ever accept what this does not know, that costs line numbers, not the configuration.
    with contextlib.suppress(IndexError, tomli.TOMLDecodeError):
        scanner.scan()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self.lines: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}
        """How many elements each array of tables has so far."""

    def scan(self) -> None:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> KeyPath:
        line = self._line()
        array = self._text.startswith("[[", self._at)
        self._at += 2 if array else 1
        names = self._key()
        self._at += 2 if array else 1
        path: KeyPath = ()
        for name in names[:-1]:
            path = self._last((*path, name))
            self.lines.setdefault(path, line)
        path = (*path, names[-1])
        if not array:
            self.lines[path] = line
            return path
        self.lines.setdefault(path, line)
        element = (*path, self._lengths.get(path, 0))
        self._lengths[path] = self._lengths.get(path, 0) + 1
        self.lines[element] = line
        return element

    def _last(self, path: KeyPath) -> KeyPath:
        """A name inside a header means the newest element where it names an array of tables."""
        length = self._lengths.get(path)
        return (*path, length - 1) if length else path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for name in self._key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._skip(_SPACES)
        self._value(path)

    def _key(self) -> list[str]:
        """The parts of a possibly dotted key; afterwards we stand on what follows it."""
        names = []
        while True:
            self._skip(_SPACES)
            if (quoted := self._match(_BASIC)) or (quoted := self._match(_LITERAL)):
                # The parser knows the escapes.
                names.append(next(iter(tomli.loads(f"{quoted} = 0"))))
            else:
                names.append(self._match(_BARE_KEY))
            self._skip(_SPACES)
            if self._text[self._at : self._at + 1] != ".":
                return names
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        start = self._at
        match self._text[self._at]:
            case "[":
                self._list(path)
            case "{":
                self._inline_table(path)
            case '"':
                self._match(_MULTILINE_BASIC) or self._match(_BASIC)
            case "'":
                self._match(_MULTILINE_LITERAL) or self._match(_LITERAL)
            case _:
                self._match(_SCALAR)
        self._at = max(self._at, start + 1)  # so that it ends whatever it reads

    def _list(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        self._skip(_BLANK)
        while self._text[self._at] != "]":
            element = (*path, index)
            self.lines[element] = self._line()
            self._value(element)
            index += 1
            self._separator()
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != "}":
            self._pair(path)
            self._separator()
        self._at += 1

    def _separator(self) -> None:
        self._skip(_BLANK)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_BLANK)

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._match(pattern)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            return ""
        self._at = found.end()
        return found[0]
