"""Training: one file for each kind of model, and what they share."""
