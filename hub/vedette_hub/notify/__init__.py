"""Telling people of alerts: what to tell whom, a durable queue, and the channels it goes through."""
