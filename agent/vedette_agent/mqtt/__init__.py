"""One MQTT connection to a broker, read in batches; two ways to speak the protocol."""
