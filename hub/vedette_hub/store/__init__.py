"""The store: what the hub keeps, in one database."""
