"""Learning: samples become datasets, datasets become versions of models."""
