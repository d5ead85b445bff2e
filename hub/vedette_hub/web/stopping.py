"""Whether this web server has been told to stop."""

from __future__ import annotations

import threading

stopping = threading.Event()
"""Set at SIGTERM, in the web server's process alone. Whoever holds a thread for long looks at it, and ends."""
