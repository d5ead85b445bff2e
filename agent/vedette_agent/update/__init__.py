"""The way of a model: from the hub's order to the detector that runs."""
