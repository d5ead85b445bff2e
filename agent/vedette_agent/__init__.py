"""Vedette: the agent that runs on the gateway."""
