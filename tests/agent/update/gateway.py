"""An agent as a process of its own, which tests start, stop and kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from nacl.signing import VerifyKey

from tests.processes import ROOT, command
from vedette_agent.cli import main
from vedette_models.keys import format_key_ring, key_ring

CONFIG = """
[gateway]
id = "{gateway}"
state_dir = "state"
heartbeat = "1s"

[devices]
url = "mqtt://127.0.0.1:{port}"

[hub]
url = "mqtt://127.0.0.1:{hub_port}"

[time]
max_age = "none"

[models]
key_ring = "keys"
fetch_timeout = "{fetch_timeout}"
probation = "{probation}"

[samples]
{samples}

[[streams]]
topic = "plant/{{device}}/telemetry"
profile = "pump"

[profiles.pump]
channels = ["flow", "pressure"]

# Tests of models want to hear from them at once.
[profiles.pump.decisions]
alerts_per_week = 50.0

{more}
"""


class Gateway:
    """Its files lie in `folder`; devices and hub meet at brokers of these ports."""

    def __init__(
        self,
        folder: Path,
        port: int,
        key: VerifyKey,
        *,
        gateway: str = "gw",
        hub_port: int | None = None,
        fetch_timeout: str = "30s",
        probation: str = "none",
        samples: str = "",
        more: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.config = folder, folder / "agent.toml"
        self.log, self.trace, self.state = folder / "agent.log", folder / "trace.jsonl", folder / "state"
        self.text = CONFIG.format(
            gateway=gateway,
            port=port,
            hub_port=hub_port or port,
            fetch_timeout=fetch_timeout,
            probation=probation,
            samples=samples,
            more=more,
        )
        self.config.write_text(self.text)
        (folder / "keys").write_text(format_key_ring(key_ring(key)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command("vedette-agent", "run", "--config", self.config, "--trace", self.trace),
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")},
                stdout=log,
                stderr=log,
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """As a service manager does; it must have been running until then."""
        if self._process is None:
            return
        assert self.alive, self.log.read_text()[-3000:]
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(20)
        self._process = None
        assert code == 0, self.log.read_text()[-3000:]

    def cli(self, verb: str, *arguments: str) -> Result:
        """`vedette-agent model …` on its configuration, in this process."""
        clean = {name: None for name in os.environ if name.startswith("VEDETTE_")}
        return CliRunner().invoke(main, ["model", verb, "--config", str(self.config), *arguments], env=clean)

    def journal(self) -> dict[str, Any]:
        """As `model show --json` says it."""
        shown: dict[str, Any] = json.loads(self.cli("show", "--json").stdout)
        return shown

    def fates(self) -> Counter[tuple[str, int, str]]:
        """How often each (device, sequence, fate) stands in the trace so far."""
        data = self.trace.read_bytes() if self.trace.exists() else b""
        lines = [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
        return Counter((line["device"], line["sequence"], line["fate"]) for line in lines)
