"""Examples: a plant to watch, a device in ten lines, a profile of your own."""
