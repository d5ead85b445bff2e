"""The fleet: what comes from gateways, and what they are told."""
