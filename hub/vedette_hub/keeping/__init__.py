"""Keeping a hub: backups of what it knows, and bringing them back."""
