"""The agent's configuration: read once, checked in full, frozen.

    config = load(Path("/etc/vedette/agent.toml"), os.environ)

Everything wrong with it is reported together, by file, line and key, as a `ConfigError`.
"""

from vedette_agent.config.load import load
from vedette_agent.config.models import (
    Broker,
    Config,
    Gateway,
    Limits,
    Models,
    OutboxLimits,
    Samples,
    Stream,
    TimePolicy,
)
from vedette_agent.config.problems import ConfigError, Problem

__all__ = [
    "Broker",
    "Config",
    "ConfigError",
    "Gateway",
    "Limits",
    "Models",
    "OutboxLimits",
    "Problem",
    "Samples",
    "Stream",
    "TimePolicy",
    "load",
]
