"""An order as a sentence for the audit log. Pure."""

from __future__ import annotations

from vedette_hub.fleet.orders import Ordered, Targets


def order_words(targets: Targets, ordered: Ordered) -> str:
    """For whom an order was, and what each of them has been ordered."""
    by_version: dict[int | None, int] = {}
    for one in ordered.gateways:
        by_version[one.version] = by_version.get(one.version, 0) + 1
    what = ", ".join(
        f"{'no model' if version is None else f'version {version}'} on {number}"
        for version, number in by_version.items()
    )
    skipped = f"; {len(ordered.skipped)} skipped" if ordered.skipped else ""
    return f"for {targets}: {what or 'nothing'}{skipped}"
