"""Lists as CSV: sent while they are read, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flask import Response

# What a spreadsheet takes for a formula; the last four are the wide forms that some read like the others.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_responses(what: str) -> dict[int | str, dict[str, Any]]:
    """What the specification says of an answer in CSV: `@blueprint.doc(responses=csv_responses("All alerts."))`."""
    return {200: {"description": what, "content": {"text/csv": {"schema": {"type": "string"}}}}}


def csv_answer(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """An answer that is a file `<name>.csv`; rows are taken one by one while it is being sent.

    So `rows` reads the store a page at a time, each in a transaction of its own, and needs `context()` no more.
    """
    answer = Response(_lines(columns, rows), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield _line(columns)
    for row in rows:
        yield _line([harmless(value) for value in row])


def _line(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def harmless(value: object) -> object:
    """What a cell holds: text that a spreadsheet would take for a formula has an apostrophe before it.

    >>> harmless("=1+1"), harmless(-1.5), harmless(None)
    ("'=1+1", -1.5, '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
