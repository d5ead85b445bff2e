"""Detectors, one per file."""
