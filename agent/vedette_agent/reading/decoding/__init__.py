"""Decoding: raw messages → readings in columns. The way in is `decoder`; what it refuses becomes a dead letter."""
