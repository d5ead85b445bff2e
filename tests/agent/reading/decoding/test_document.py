"""Depth of a payload, and foreign text that is fit to print."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vedette_agent.reading.decoding.document import deeper_than, shown

TEXTS = st.text(st.sampled_from('[]{}"\\a\n'), max_size=6)
JSON = st.recursive(
    TEXTS | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=25,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@settings(max_examples=500, derandomize=True, deadline=None)
@given(JSON, st.integers(0, 6))
def test_depth_counts_objects_and_arrays_but_not_what_texts_contain(value: Any, limit: int) -> None:
    assert deeper_than(limit, json.dumps(value).encode()) == (depth(value) > limit)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text() | st.binary() | st.floats() | st.integers())
def test_what_is_shown_is_short_and_prints(value: object) -> None:
    assert len(shown(value)) <= 170
    assert shown(value).isprintable()
