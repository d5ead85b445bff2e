"""The version of this hub."""

from __future__ import annotations

import importlib.metadata

VERSION = importlib.metadata.version("vedette")
