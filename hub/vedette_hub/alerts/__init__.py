"""Alerts at the hub: the life of an alert."""
