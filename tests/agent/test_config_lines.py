"""Where every key stands, however TOML writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.config.lines import key_lines

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / "configs").rglob("*.toml")), ROOT / "pyproject.toml"]


def all_paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every key and index of a parsed document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {path} if path else set()
    return found.union(*(all_paths(item, (*path, key)) for key, item in items))


TRICKY = '''\
"a b".c = """
[not.a.table]
x = 1
ends with quotes"""""
'd' = [ # ] "
  "]", '[', """x
y""",
  { e = 1, "f.g" = [2, # }
    3] },
]

  [ t . "u" ]   # [v]
x = 1979-05-27 07:32:00 # ] }
y.z."\\u0041" = '\\'
[[t.list]]
k = \'\'\'it's "here"
\'\'\'
[t.list.sub]
s = {}
[[t.list]]
[t.list.sub]
q = { r.s = 1, r.t = "#" }
[t]
w = -1e5
'''


def test_no_way_of_writing_a_key_confuses_it() -> None:
    assert key_lines(TRICKY) == {
        ("a b",): 1,
        ("a b", "c"): 1,
        ("d",): 5,
        ("d", 0): 6,
        ("d", 1): 6,
        ("d", 2): 6,
        ("d", 3): 8,
        ("d", 3, "e"): 8,
        ("d", 3, "f.g"): 8,
        ("d", 3, "f.g", 0): 8,
        ("d", 3, "f.g", 1): 9,
        ("t",): 23,
        ("t", "u"): 12,
        ("t", "u", "x"): 13,
        ("t", "u", "y"): 14,
        ("t", "u", "y", "z"): 14,
        ("t", "u", "y", "z", "A"): 14,
        ("t", "list"): 15,
        ("t", "list", 0): 15,
        ("t", "list", 0, "k"): 16,
        ("t", "list", 0, "sub"): 18,
        ("t", "list", 0, "sub", "s"): 19,
        ("t", "list", 1): 20,
        ("t", "list", 1, "sub"): 21,
        ("t", "list", 1, "sub", "q"): 22,
        ("t", "list", 1, "sub", "q", "r"): 22,
        ("t", "list", 1, "sub", "q", "r", "s"): 22,
        ("t", "list", 1, "sub", "q", "r", "t"): 22,
        ("t", "w"): 24,
    }
    assert set(key_lines(TRICKY)) == all_paths(tomli.loads(TRICKY))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_finds_exactly_the_keys_the_parser_finds(path: Path) -> None:
    text = path.read_text()
    assert set(key_lines(text)) == all_paths(tomli.loads(text))


@pytest.mark.parametrize("text", ["", "\n\n", "# only words", "\ufeff"[1:], "a = 1", "a = ''"])
def test_short_documents_end_where_they_end(text: str) -> None:
    assert set(key_lines(text)) == all_paths(tomli.loads(text))


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(alphabet="ab.=[]{},\"'\\#\n 1"))
def test_it_ends_whatever_it_reads(text: str) -> None:
    assert isinstance(key_lines(text), dict)


class Writer:
    """Writes a document and notes the line of everything it writes."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[tuple[str | int, ...], int] = {}
        self.names = 0

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def space(self, choices: tuple[str, ...]) -> None:
        self.text += self.draw(st.sampled_from(choices))

    def name(self) -> str:
        """A new key, written here in one of three ways."""
        self.names += 1
        text = f"k{self.names}"
        match self.draw(st.integers(0, 3)):
            case 0:
                text += self.draw(st.sampled_from([" .x", "]", "=#", '"\\', "'", "{é"]))
                self.text += '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
            case 1:
                text += self.draw(st.sampled_from(["\\", '"', "].[", "# x"]))
                self.text += f"'{text}'"
            case _:
                self.text += text
        return text

    def pair(self, table: tuple[str | int, ...], depth: int) -> None:
        line, path = self.line, table
        for part in range(self.draw(st.integers(1, 3))):
            if part:
                self.space((".", " . "))
            path = (*path, self.name())
            self.lines.setdefault(path, line)
        self.space((" = ", "=", "\t=  "))
        self.value(path, depth)

    def value(self, path: tuple[str | int, ...], depth: int) -> None:
        kind = self.draw(st.integers(0, 7 if depth else 5))
        if kind <= 5:
            scalars = (
                '"[a] # \\" x = 1"',
                "'# ] } \\'",
                '"""\n[a]\nb = "c" \\\n  # ""x"""""',
                "'''\n[[a]]\n' = ''x''''",
                "1979-05-27 07:32:00Z",
                "-1_000.5e+3",
                "true",
                '""',
                "''",
                '""""""',
            )
            self.space(scalars)
            return
        blank = ("", " ", "\n", " # ] } \" '\n\t", "\r\n  ")
        self.text += "[" if kind == 6 else "{"
        self.space(blank)
        for index in range(self.draw(st.integers(0, 3))):
            if index:
                self.text += ","
                self.space(blank)
            if kind == 6:
                self.lines[*path, index] = self.line
                self.value((*path, index), depth - 1)
            else:
                self.pair(path, depth - 1)
            self.space(blank)
        self.text += "]" if kind == 6 else "}"

    def end(self) -> None:
        self.space(("\n", " # [x] y = 1\n", "\r\n\r\n", "\n\n  \t\n# '''\n"))

    def pairs(self, table: tuple[str | int, ...]) -> None:
        for _ in range(self.draw(st.integers(0, 3))):
            self.space(("", "  "))
            self.pair(table, 2)
            self.end()

    def header(self) -> None:
        """A table, an array of tables with tables inside, or a table after the one inside it."""
        line, kind = self.line, self.draw(st.integers(0, 2))
        self.text += "[[" if kind == 1 else "["
        start = len(self.text)
        outer = self.name()
        written = self.text[start:]
        if kind == 1:
            self.text += "]]"
            self.end()
            self.lines[(outer,)] = self.lines[outer, 0] = line
            self.pairs((outer, 0))
            for index in range(1, self.draw(st.integers(1, 3))):
                self.lines[outer, index] = self.line
                self.text += f"[[ {written} ]]\n"
                self.pairs((outer, index))
                self.lines[outer, index, "in"] = self.line + 1
                self.lines[outer, index, "in", "er"] = self.line + 1
                self.text += f"\n[{written}.in.er]\n"
                self.pairs((outer, index, "in", "er"))
            return
        self.text += "."
        inner = self.name()
        self.text += "]"
        self.end()
        self.lines[(outer,)], self.lines[outer, inner] = line, line
        self.pairs((outer, inner))
        if kind == 2:
            self.lines[(outer,)] = self.line
            self.text += f"[{written}]\n"
            self.pairs((outer,))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str | int, ...], int]]:
    writer = Writer(draw)
    writer.pairs(())
    for _ in range(draw(st.integers(0, 4))):
        writer.header()
    return writer.text, writer.lines


@settings(derandomize=True, max_examples=150, deadline=None)
@given(documents())
def test_the_line_of_every_key_of_any_document_is_right(document: tuple[str, dict[tuple[str | int, ...], int]]) -> None:
    text, lines = document
    assert all_paths(tomli.loads(text)) == set(lines)
    assert key_lines(text) == lines
