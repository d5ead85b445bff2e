"""What the doctor makes of what it saw: pure, without a broker or a disk."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agent.mqtt_ends import broker_of
from vedette_agent.config import Config, OutboxLimits, load
from vedette_agent.doctor import access, clock, database, disk, dns, login, models, presence, samples, service, tcp, tls
from vedette_agent.doctor.access import Side
from vedette_agent.doctor.bounded import bounded
from vedette_agent.doctor.clock import Clock
from vedette_agent.doctor.database import Checked
from vedette_agent.doctor.disk import Disk
from vedette_agent.doctor.finding import Finding, is_well
from vedette_agent.doctor.login import Answered
from vedette_agent.doctor.models import Models, Ring, Stored
from vedette_agent.doctor.presence import Presence
from vedette_agent.doctor.samples import StreamSample
from vedette_agent.doctor.service import Service
from vedette_agent.doctor.tls import Certificate, Encrypted
from vedette_agent.mqtt.message import Message
from vedette_agent.update.journal import Held, Journal
from vedette_models.messages import Status

NOW = 1.8e9
DAY = 86_400.0
FOLDER = Path("/var/lib/vedette-agent")
TEXT = """
[gateway]
id = "line 3"
[devices]
url = "mqtt://broker:1883"
username = "line%203"
password_credential = "devices-password"
[hub]
url = "mqtts://hub.example.org"
username = "line%203"
[[streams]]
topic = "plant/{device}/telemetry"
profile = "pump"
[[streams]]
topic = "hall/{device}/{channel}"
profile = "pump"
[profiles.pump.channels.vibration]
unit = "mm/s"
[profiles.pump.channels.flow]
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("judgements") / "agent.toml"
    path.write_text(TEXT)
    return load(path, {}, outside_service=True)


def outcomes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.name, finding.outcome) for finding in findings]


PEER = Certificate(("broker.example.org",), NOW - DAY, NOW + 365 * DAY)
GOOD_UNIT = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "NRestarts": "0",
    "Restart": "always",
    "WatchdogUSec": "1min",
    "LoadCredential": "devices-password:/etc/vedette/devices.password",
    "IPAddressAllow": "127.0.0.0/8 ::1/128 10.0.0.0/8",
    "IPAddressDeny": "0.0.0.0/0 ::/0",
}
Judge = Callable[[Config], list[Finding] | Finding]
ALIVE = Status("line 3", online=True, time=NOW, started=NOW - 60, version="1", ingest="receiving", hub="connected")


def unit(**changes: str) -> Judge:
    addresses = {"devices": ("127.0.0.1",), "hub": ("10.1.2.3",)}
    return lambda c: service.judge(c, "v.service", Service({**GOOD_UNIT, **changes}), addresses, runs=True)


def ring(**changes: Any) -> Ring:
    return Ring(**{"path": Path("keyring"), "keys": {"k": None}, **changes})


def with_ring(journal: Journal | None = None, stored: tuple[Stored, ...] = ()) -> Judge:
    return lambda c: models.judge(c, Models(ring(), journal, stored))


def folder(**changes: Any) -> Judge:
    seen = Disk(**{"free": 2**33, "free_files": 10_000, "write_seconds": 0.01, **changes})
    return lambda _c: disk.judge(FOLDER, OutboxLimits(), seen, runs=False)


def shaken(**changes: Any) -> Judge:
    seen = Encrypted(**{"version": "TLSv1.3", "peer": PEER, **changes})
    return lambda c: tls.judge("hub", c.hub or c.devices, seen, NOW)


def side(subject: str = "hub", *, proven: bool = True, **changes: Any) -> Judge:
    seen = Side(**{"connected": True, **changes})
    return lambda c: access.judge(c, subject, c.hub or c.devices, seen, proven=proven)


def sample(**changes: Any) -> Judge:
    heard = {"messages": 2, "readings": 2, "devices": ("p7",), "profile": "pump", "channels": {"flow": "1"}, **changes}
    return lambda _c: samples.judge(StreamSample("plant/+/telemetry", **heard), 5.0, "line%203")


def agent(status: Status | None = ALIVE, **changes: Any) -> Judge:
    seen = Presence(**{"running": True, "status": status, "installed": "1", "configured": NOW - 90, **changes})
    return lambda c: presence.judge(c, seen, NOW)


UP = "vedette/v1/gw/line%203/up/alerts"
CASES: dict[str, tuple[Judge, list[str], str]] = {
    "an agent that runs": (agent(), ["ok"], "it runs since"),
    "no agent": (agent(running=False), ["warning"], "nobody watches"),
    "a folder of root's": (agent(running=None), ["not tested"], "sudo"),
    "an agent that hangs": (agent(msgspec.structs.replace(ALIVE, time=NOW - 600)), ["failed"], "600 s ago"),
    "an agent that never spoke": (agent(None), ["failed"], "said nothing yet"),
    "an agent of yesterday's version": (agent(installed="2"), ["ok", "warning"], "installed is 2"),
    "a configuration that is newer": (agent(configured=NOW), ["ok", "warning"], "changed since"),
    "an agent with a problem": (
        agent(msgspec.structs.replace(ALIVE, problems=("hub broker away",), lost_rows=3)),
        ["ok", "warning", "warning"],
        "hub broker away",
    ),
    "a name": (lambda _c: dns.judge("hub", "hub", dns.Resolved(("10.1.2.3",))), ["ok"], "hub is 10.1.2.3"),
    "no such name": (lambda _c: dns.judge("hub", "hub", dns.Resolved(error="unknown")), ["failed"], "getent hosts hub"),
    "an open port": (lambda _c: tcp.judge("hub", "hub", 8883, tcp.Reached("10.1.2.3")), ["ok"], "10.1.2.3"),
    "a closed port": (
        lambda _c: tcp.judge("hub", "hub", 8883, tcp.Reached(number=errno.ECONNREFUSED, error="Connection refused")),
        ["failed"],
        "listener 8883",
    ),
    "a silent port": (
        lambda _c: tcp.judge("hub", "hub", 8883, tcp.Reached(number=errno.ETIMEDOUT, error="no answer")),
        ["failed"],
        "firewalls",
    ),
    "a good certificate": (shaken(), ["ok"], "valid until 2028-01-15"),
    "a certificate that ends soon": (shaken(peer=PEER._replace(not_after=NOW + 9.5 * DAY)), ["warning"], "9 days are"),
    "an expired certificate": (
        shaken(version="", verify_code=10, error="expired", peer=PEER._replace(not_after=NOW - DAY)),
        ["failed"],
        "expired on 2027-01-14",
    ),
    "a certificate of tomorrow": (shaken(version="", verify_code=9, error="not yet"), ["failed"], "timedatectl"),
    "another name": (shaken(version="", verify_code=62, error="mismatch"), ["failed"], "for broker.example.org"),
    "an unknown authority": (shaken(version="", verify_code=19, error="self-signed"), ["failed"], "Set ca_file in"),
    "a plain port": (shaken(version="", error="WRONG_VERSION_NUMBER"), ["failed"], "mqtt:// in [hub] url"),
    "our own certificate missing": (shaken(refused_own=True, error="required"), ["failed"], "Set cert_file"),
    "our own certificate expired": (shaken(own=PEER._replace(not_after=NOW - 1)), ["ok", "failed"], "renewed"),
    "an authority that ends soon": (shaken(authorities_end=NOW + DAY), ["ok", "warning"], "one day is left"),
    "let in": (lambda _c: login.judge("hub", broker_of("mqtt://h", username="u"), Answered(0)), ["ok"], "lets in user"),
    "let in as nobody": (lambda _c: login.judge("hub", broker_of("mqtt://h"), Answered(0)), ["warning"], "anybody"),
    "wrong password, says the broker": (
        lambda _c: login.judge("hub", broker_of("mqtt://h", username="u"), Answered(0x86, "Bad user name or password")),
        ["failed"],
        "password_file of [hub]",
    ),
    "not authorised, says Mosquitto": (
        lambda _c: login.judge("hub", broker_of("mqtt://h", username="u"), Answered(0x87, "Not authorized")),
        ["failed"],
        "Its log tells them apart",
    ),
    "anonymous is refused": (
        lambda _c: login.judge("hub", broker_of("mqtt://h"), Answered(0x87, "Not authorized")),
        ["failed"],
        "Set username and password_file in [hub]",
    ),
    "an old broker": (
        lambda _c: login.judge("hub", broker_of("mqtt://h"), Answered(0x84, "Unsupported")),
        ["failed"],
        'protocol = "3.1.1"',
    ),
    "no broker": (lambda _c: login.judge("hub", broker_of("mqtt://h"), Answered(None, "gone")), ["failed"], "CONNECT"),
    "all access": (side(), ["ok", "ok"], "may write"),
    "no write access": (side(writes_refused={UP: "0x87"}), ["failed", "ok"], "topic write vedette/v1/gw/line%203/up/#"),
    "no read access": (
        side(reads_refused=("vedette/v1/gw/line%203/down/receipts",)),
        ["ok", "failed"],
        "topic read vedette/v1/gw/line%203/down/#",
    ),
    "no echo": (side("devices", echo=False), ["failed", "ok"], "does not come back"),
    "nothing seen": (side(proven=False), ["ok", "not tested"], "filters later"),
    "MQTT 3.1.1": (side(tells=False), ["not tested", "ok"], "does not say"),
    "no hub": (side(unheard=(UP,)), ["ok", "ok", "warning"], "is the hub there?"),
    "a sample": (sample(), ["ok"], "device p7, profile pump: flow 1."),
    "no sample": (sample(messages=0), ["warning"], "nothing arrived within 5 s"),
    "a sample without a channel": (sample(missing=("flow",)), ["warning"], "[streams.channels] flow ="),
    "a sample that is garbage": (
        sample(readings=0, refused=2, reason="not_json", detail="no JSON", topic="t"),
        ["failed"],
        "publish JSON",
    ),
    "some garbage": (sample(refused=1, reason="too_old", detail="too old", topic="t"), ["warning"], "max_age"),
    "a right clock": (lambda _c: clock.judge(Clock(NOW, True, 0.004)), ["ok"], "within 4 ms"),
    "1972": (lambda _c: clock.judge(Clock(7e7, False)), ["failed", "warning"], "set-ntp true"),
    "a clock behind": (
        lambda _c: clock.judge(Clock(NOW, True, 0.0, NOW + 2 * DAY, "the last status")),
        ["failed"],
        "the last status is from",
    ),
    "a free clock": (lambda _c: clock.judge(Clock(NOW, False)), ["warning"], "no time server"),
    "a clock in a container": (lambda _c: clock.judge(Clock(NOW, None)), ["not tested"], "does not say"),
    "a clock long alone": (lambda _c: clock.judge(Clock(NOW, True, 3.0)), ["warning"], "3.0 s"),
    "a good disk": (folder(), ["ok"], "8.0 GiB and 10000 files"),
    "a full disk": (folder(free=2**20), ["failed"], "Free space"),
    "a disk that is too small": (folder(free=2**27), ["warning"], "lower max_bytes"),
    "no more files": (folder(free_files=3), ["failed"], "only 3 more files"),
    "a file system without a count of files": (folder(free_files=None), ["ok"], "8.0 GiB are free"),
    "a read-only disk": (folder(read_only=True), ["failed"], "remount,rw"),
    "a disk with errors": (folder(write_error="Input/output error"), ["failed"], "input/output error"),
    "a slow disk": (folder(write_seconds=2.5), ["warning"], "took 2.5 s"),
    "a disk in memory": (folder(kind="tmpfs"), ["warning"], "gone with the power"),
    "a folder for everybody": (folder(mode=0o777), ["failed"], "chmod go-w"),
    "files of root": (folder(foreign=("agent.db",)), ["warning"], "chown --reference"),
    "a folder of others": (folder(denied=True, write_seconds=0.0), ["not tested"], "sudo"),
    "no folder yet": (folder(exists=False), ["warning"], "StateDirectory="),
    "a file for a folder": (folder(is_folder=False), ["failed"], "Correct state_dir"),
    "a whole database": (lambda _c: database.judge(FOLDER, Checked(version=1, bytes=2**20)), ["ok"], "1.0 MiB"),
    "a damaged database": (lambda _c: database.judge(FOLDER, Checked(problem="row 3")), ["failed"], "moves it aside"),
    "a database of tomorrow": (lambda _c: database.judge(FOLDER, Checked(version=99)), ["failed"], "newer release"),
    "no database": (lambda _c: database.judge(FOLDER, Checked(exists=False)), ["not tested"], "no agent has run"),
    "a database of others": (lambda _c: database.judge(FOLDER, Checked(unread="denied")), ["not tested"], "sudo"),
    "no key ring": (lambda c: models.judge(c, Models()), ["warning"], "vedette-hub enroll line 3"),
    "a key ring": (with_ring(Journal()), ["ok"], "1 keys: k"),
    "no usable key ring": (lambda c: models.judge(c, Models(ring(problem="line 1"))), ["failed"], "line 1"),
    "a key ring for everybody": (lambda c: models.judge(c, Models(ring(mode=0o666))), ["failed"], "decide what runs"),
    "models": (with_ring(Journal(), (Stored("pump", 7, "lof"),)), ["ok", "ok"], "version 7 of lof"),
    "a bad model": (with_ring(Journal(), (Stored("pump", 7, "lof", "corrupt"),)), ["ok", "failed"], "corrupt"),
    "an order that is held": (with_ring(Journal(held={"pump": Held("", "corrupt")})), ["ok", "warning"], "not run"),
    "an order that was refused": (with_ring(Journal(refused="unknown_key ab")), ["ok", "warning"], "unknown_key"),
    "a lost counter": (with_ring(Journal(counter=None)), ["ok", "warning"], "counter"),
    "a good unit": (unit(), ["ok"], "watchdog 1min"),
    "no systemd": (lambda c: service.judge(c, "v", Service(unread="none"), {}, runs=True), ["not tested"], "none"),
    "no unit": (unit(LoadState="not-found"), ["warning"], "systemctl daemon-reload"),
    "a unit that failed": (unit(ActiveState="failed", Result="exit-code"), ["failed"], "journalctl -u v.service"),
    "an agent by hand": (unit(ActiveState="inactive"), ["warning"], "an agent runs, but not as"),
    "a unit that is not enabled": (unit(UnitFileState="disabled"), ["warning"], "systemctl enable v.service"),
    "no watchdog": (unit(WatchdogUSec="0"), ["warning"], "WatchdogSec=60"),
    "a unit that stays down": (unit(Restart="no"), ["warning"], "Restart=always"),
    "a credential that is not loaded": (unit(LoadCredential=""), ["failed"], "Add LoadCredential=devices-password:"),
    "a hub that may not be reached": (unit(IPAddressAllow="127.0.0.0/8"), ["failed"], "IPAddressAllow=10.1.2.3"),
    "a nameserver that may not be reached": (
        lambda c: service.judge(c, "v", Service(GOOD_UNIT, nameservers=("9.9.9.9",)), {}, runs=True),
        ["failed"],
        "the nameserver 9.9.9.9",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_seen_is_judged(case: str, config: Config) -> None:
    judge, wanted, words = CASES[case]
    found = judge(config)
    found = [found] if isinstance(found, Finding) else found
    assert [finding.outcome for finding in found] == wanted
    assert any(words in f"{finding.seen} {finding.fix}" for finding in found), found
    for finding in found:
        assert (finding.outcome == "ok") == (finding.fix == ""), "whatever is not well has a fix, and nothing else has"
        assert finding.seen.endswith((".", "?")) or "reports" in finding.seen, "one sentence"
    assert is_well(found) == ("failed" not in wanted)


def test_samples_are_read_by_the_first_stream_that_matches_and_by_the_real_decoder(config: Config) -> None:
    filters = [stream.pattern.filter for stream in config.streams]
    heard = {
        filters[0]: [Message("plant/p7/telemetry", b'{"vibration": 4.1}'), Message("plant/p8/telemetry", b"{")],
        filters[1]: [Message("hall/f1/flow", b"7", retained=True)],
    }
    plant, hall = samples.summarise(config, heard, NOW)
    assert (plant.messages, plant.readings, plant.refused, plant.reason) == (2, 1, 1, "not_json")
    assert (plant.channels, plant.missing) == ({"vibration": "4.1 mm/s"}, ("flow",))
    assert (hall.devices, hall.channels, hall.missing, hall.retained) == (("f1",), {"flow": "7"}, (), 1)
    assert "all of them retained" in samples.judge(hall, 5.0, "u").seen


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=60)), max_size=8))
def test_nothing_a_device_sends_stops_the_doctor(config: Config, sent: list[tuple[str, bytes]]) -> None:
    heard = {"plant/+/telemetry": [Message(f"plant/{device}/telemetry", payload) for device, payload in sent]}
    found = samples.summarise(config, heard, NOW)[0]
    assert found.messages == len(sent)
    assert samples.judge(found, 5.0, "u").outcome in ("ok", "warning", "failed")


def test_a_call_that_hangs_is_left_behind() -> None:
    with pytest.raises(TimeoutError):
        bounded(lambda: __import__("threading").Event().wait(), 0.05)
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 // 0, 5.0)
    assert bounded(lambda: math.pi, 5.0) == math.pi
