"""Alembic's environment: it runs inside the transaction that `vedette_hub.store.migrate` has begun."""

from __future__ import annotations

from alembic import context

from vedette_hub.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most things in place; batches copy the table instead.
    render_as_batch=True,
)
context.run_migrations()
