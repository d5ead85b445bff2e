"""Vedette: what agent and hub agree on."""
