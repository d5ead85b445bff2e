"""Typed decoders made from a configuration: one C call per sample instead of a dictionary to search."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec

from vedette_agent.reading.decoding.places import BELOW, Path, Places
from vedette_agent.reading.decoding.row import ABSENT, TIMES


class Field(NamedTuple):
    """A value of a sample."""

    slot: str
    """Attribute it is kept under."""
    type: Any
    default: Any
    """What stands for a value that is not there."""


class SampleType(NamedTuple):
    """A generated type of one sample."""

    type: Any
    """A subclass of `msgspec.Struct`."""
    row: Callable[[Any], tuple[Any, ...]]
    """The values of a sample, in the order of the fields it was made from."""


_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_Tree = dict[str, Any]
"""By key of an object: a `Field`, or the tree of an object within."""


def sample_type(fields: Sequence[Field], places: Mapping[str, Path]) -> SampleType | None:
    """A type with these fields at these paths (by slot); a field without a place keeps its default.

    None where one field's path ends at or leads through another's, or a key needs escapes in JSON.
    """
    if any(_ESCAPED.search(key) for path in places.values() for key in path):
        return None
    tree: _Tree = {}
    for field in fields:
        placed = field.slot in places
        # A key that no device sends and that accepts only null keeps the default in its place.
        path = places[field.slot] if placed else (f"<no {field.slot}>",)
        if not _place(tree, path, field if placed else field._replace(type=None)):
            return None
    where: dict[str, str] = {}
    made = _struct(tree, [field.slot for field in fields], "", where)
    flat = all(isinstance(member, Field) for member in tree.values())
    return SampleType(made, msgspec.structs.astuple if flat else attrgetter(*(where[f.slot] for f in fields)))


def _place(tree: _Tree, path: Path, field: Field) -> bool:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            return False
    return tree.setdefault(path[-1], field) is field


def _struct(tree: _Tree, order: Sequence[str], prefix: str, where: dict[str, str]) -> type[msgspec.Struct]:
    """The type of an object, its values in this order; `where` learns the dotted attribute of every slot in it."""
    values = {member.slot: (key, member) for key, member in tree.items() if isinstance(member, Field)}
    own = [slot for slot in order if slot in values]
    where.update({slot: prefix + slot for slot in own})
    definitions: list[tuple[str, Any, Any]] = [(slot, values[slot][1].type, values[slot][1].default) for slot in own]
    names = {slot: values[slot][0] for slot in own}
    for key, member in tree.items():
        if isinstance(member, dict):
            name = f"object{len(definitions)}"
            made = _struct(member, order, f"{prefix}{name}.", where)
            # The empty object as default lets one dotted path serve objects that are there and those that are not.
            definitions.append((name, made | None, made()))
            names[name] = key
    return msgspec.defstruct("Sample", definitions, rename=names, frozen=True, gc=False)


SEQUENCE_NUMBER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None
_TIME = float | str | None
_DEVICE = int | str | None
_CELL = float | bool | None


def reading_type(places: Places) -> SampleType | None:
    """The type of a sample whose values stand at the first of their places or below `values`; its rows are `Row`s."""
    columns = range(len(places.names))
    below = {f"below{k}": (places.names[k],) for k in columns if (BELOW, places.names[k]) in places.channels.get(k, ())}
    values = sample_type([Field(f"below{k}", _CELL, ABSENT) for k in columns], below)
    where: dict[str, Path] = {f"cell{k}": paths[0] for k, paths in places.channels.items()}
    where |= {f"time{i}": path for i, path in enumerate(places.times)}
    if places.sequence:
        where["sequence"] = places.sequence
    if places.device:
        where["device"] = places.device
    if below:
        where["values"] = (BELOW,)
    fields = [
        *(Field(f"time{i}", _TIME, None) for i in range(TIMES)),
        Field("sequence", SEQUENCE_NUMBER, None),
        Field("device", _DEVICE, None),
        Field("values", values.type | None if values else None, None),
        *(Field(f"cell{k}", _CELL, ABSENT) for k in columns),
    ]
    return sample_type(fields, where)
