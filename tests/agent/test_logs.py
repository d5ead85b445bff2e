"""What the agent logs for machines is one object a line, with its time in UTC."""

from __future__ import annotations

import json
import re
import subprocess
import sys

CODE = """
import logging
from vedette_agent.logs import configure
configure("info", "json")
logging.getLogger("x").warning("two\\nlines %s", "é", extra={"device": "pump-7"})
"""


def test_a_line_is_one_object_and_its_time_is_utc() -> None:
    said = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env={"TZ": "Asia/Tokyo"}
    )
    (line,) = said.stderr.splitlines()
    found = json.loads(line)
    assert (found["levelname"], found["message"], found["device"]) == ("WARNING", "two\nlines é", "pump-7")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["asctime"])
