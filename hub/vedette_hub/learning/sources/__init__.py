"""Where training data comes from: the store, a CSV file, or a generator."""
