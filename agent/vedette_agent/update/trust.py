"""Trust: which orders of the hub a gateway follows, from its key ring and what it must not forget. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vedette_models import manifest, succession
from vedette_models.rejection import ManifestRejected

if TYPE_CHECKING:
    from vedette_agent.update.journal import Journal
    from vedette_models.keys import KeyRing
    from vedette_models.manifest import Manifest
    from vedette_models.succession import KeyStatement


class Order(NamedTuple):
    """A manifest that is to be followed, and the key statements that count from then on."""

    manifest: Manifest
    statements: tuple[KeyStatement, ...]


def verified(data: bytes, ring: KeyRing, journal: Journal, gateway: str, *, now: float, nonce: str) -> Order:
    """The order in `data`, if this gateway should follow it.

    Raises:
        ManifestRejected: see `manifest.verify`; also where a key statement is none.
    """
    keys, statements = _keys(data, ring, journal)
    order = manifest.verify(data, keys, gateway, now=now, last_counter=journal.counter, nonce=nonce)
    return Order(order, statements)


def is_in_force(data: bytes, ring: KeyRing, journal: Journal) -> bool:
    """Whether this orders what is ordered already; the same counter on another order would be the hub's mistake."""
    try:
        keys, _ = _keys(data, ring, journal)
        order = manifest.authentic(data, keys)
    except ManifestRejected:
        return False
    return order.counter == journal.counter and order.releases == journal.ordered


def _keys(data: bytes, ring: KeyRing, journal: Journal) -> tuple[KeyRing, tuple[KeyStatement, ...]]:
    kept = succession.effective(ring, journal.statements)
    statements = succession.united(kept, manifest.key_statements(data))
    return succession.followed(ring, statements), succession.effective(ring, statements)
