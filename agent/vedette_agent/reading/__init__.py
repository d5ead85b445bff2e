"""The way of a reading: from an MQTT message to a decision."""
