"""The demo: a simulated plant, a broker, an agent and a hub on this machine. Start it with `make demo`."""
