"""Scoring at the hub: vectors of features that somebody sends, by models that were trained from such."""
