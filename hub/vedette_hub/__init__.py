"""Vedette: the hub that collects and teaches."""
