"""Commands of `vedette-hub`."""
