"""Migrations of the store, run by alembic through `vedette_hub.store.migrate`."""
