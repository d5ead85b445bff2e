"""The way of an alert: from a decision to the hub."""
