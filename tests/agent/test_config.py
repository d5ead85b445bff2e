"""The configuration as a whole: what is understood, and that every mistake is found at its line, all at once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from nacl.signing import SigningKey

from vedette_agent.config import Broker, Config, ConfigError, Problem, load
from vedette_agent.config.health import HealthTable
from vedette_agent.config.profiles import ChannelTable, DecisionsTable
from vedette_models.keys import private_line, public_line
from vedette_models.profile import Channel, Decisions, Health, Profile, Range

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases" / "config"
TLS = CASES / "tls"
MISTAKES = sorted(CASES.glob("*.toml"))
SHIPPED = [ROOT / "configs" / "agent.toml", *sorted((ROOT / "configs" / "examples").glob("*.toml"))]

Write = Callable[[str], Path]

SMALL = """
[gateway]
id = "gateway-1"

[devices]
url = "mqtt://localhost"

[[streams]]
topic = "plant/{device}/telemetry"
profile = "pump"

[profiles.pump]
channels = ["vibration", "temperature"]
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration into a folder of its own and return its path."""

    def written(text: str) -> Path:
        path = tmp_path / "agent.toml"
        path.write_text(text)
        return path

    return written


def problems(path: Path, environment: dict[str, str] | None = None, **options: bool) -> list[Problem]:
    with pytest.raises(ConfigError) as error:
        load(path, environment or {}, **options)
    return error.value.problems


def changed(section: str, *lines: str) -> str:
    """SMALL with lines added at the end of a section: they are at the line of its header + 2, + 3, ..."""
    head, header, tail = SMALL.partition(f"[{section}]\n")
    first, rest = tail.split("\n", 1)
    return f"{head}{header}{first}\n" + "\n".join(lines) + f"\n{rest}"


# What is understood


def test_a_small_configuration_gets_every_default(write: Write) -> None:
    config = load(write(SMALL), {})
    assert (config.gateway.id, config.gateway.state_dir, config.gateway.heartbeat) == (
        "gateway-1",
        Path("/var/lib/vedette-agent"),
        30.0,
    )
    assert (config.devices.host, config.devices.port, config.devices.tls) == ("localhost", 1883, False)
    assert (config.devices.client_id, config.devices.session_expiry) == ("vedette-gateway-1", 604_800)
    assert config.hub is None
    assert (config.time.max_age, config.limits.payload_bytes, config.outbox.max_bytes) == (
        604_800.0,
        65_536,
        67_108_864,
    )
    assert config.streams[0].pattern.filter == "plant/+/telemetry"
    assert config.profiles == {"pump": Profile("pump", (Channel("vibration"), Channel("temperature")))}
    assert config.warnings == ()


def test_it_is_frozen(write: Write) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(write(SMALL), {}).gateway, "id", "other")  # noqa: B010 (a type checker refuses the plain way)


def test_durations_and_sizes_may_be_numbers_or_text(write: Write) -> None:
    text = SMALL + '[time]\nmax_age = "none"\nmax_ahead = "2m"\n[limits]\npayload_bytes = "1.5 KiB"\n'
    config = load(write(text + '[outbox]\nmax_bytes = 70_000\n[profiles.pump.decisions]\ncooldown = "1h"\n'), {})
    assert (config.time.max_age, config.time.max_ahead) == (None, 120.0)
    assert (config.limits.payload_bytes, config.outbox.max_bytes) == (1536, 70_000)
    assert config.profiles["pump"].decisions == Decisions(cooldown=3600.0)


def test_a_profile_says_which_faults_are_looked_for_and_a_device_may_have_ranges_of_its_own(write: Write) -> None:
    text = SMALL + (
        '[profiles.pump.health]\njump = false\nsilent_after = "1d"\nclock_tolerance = 60\n'
        '[profiles.pump.ranges."pump 7".temperature]\nlow = -40\nhigh = 250\n'
    )
    pump = load(write(text), {}).profiles["pump"]
    assert pump.health == Health(jump=False, silent_after=86_400.0, clock_tolerance=60.0)
    assert pump.ranges == {"pump 7": {"temperature": Range(-40.0, 250.0)}}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("[profiles.pump.health]\nsilence = true\n", "unknown key"),
        ("[profiles.pump.health]\nclock_tolerance = 0\n", "clock_tolerance"),
        ("[profiles.pump.ranges.p7.pressure]\nlow = 1\n", "the profile has no such channel"),
        ("[profiles.pump.ranges.p7.temperature]\nlow = 2\nhigh = 1\n", "low = 2 is not below high = 1"),
        ("[profiles.pump]\nranges = 3\n", "must be a table for each device"),
    ],
)
def test_mistakes_about_sensor_health_are_told(write: Write, table: str, problem: str) -> None:
    text = SMALL + table if "\nranges" not in table else SMALL.replace("[profiles.pump]", "[profiles.pump]\nranges = 3")
    assert any(problem in str(found) for found in problems(write(text)))


def test_channels_keep_the_order_of_the_file(write: Write) -> None:
    text = SMALL.replace('channels = ["vibration", "temperature"]', "") + (
        '[profiles.pump.channels.zeta]\nunit = "mm/s"\nlow = 0\n[profiles.pump.channels.alpha]\nhigh = 1.5\n'
    )
    assert load(write(text), {}).profiles["pump"].channels == (
        Channel("zeta", "mm/s", 0.0),
        Channel("alpha", high=1.5),
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker", ("broker", 1883, False, None)),
        ("mqtts://10.0.0.1", ("10.0.0.1", 8883, True, None)),
        ("mqtt://[::1]:2883/", ("::1", 2883, False, None)),
        ("ws://broker", ("broker", 80, False, "/mqtt")),
        ("wss://broker:9443/a/b", ("broker", 9443, True, "/a/b")),
    ],
)
def test_an_address_has_host_port_encryption_and_path(url: str, expected: tuple[object, ...]) -> None:
    broker = Broker(url=url, client_id="me")
    assert (broker.host, broker.port, broker.tls, broker.websocket_path) == expected


def test_the_tables_of_a_profile_have_the_fields_of_the_model() -> None:
    decisions = {field.name: field.default for field in msgspec.structs.fields(Decisions)}
    assert {name: field.default for name, field in DecisionsTable.model_fields.items()} == decisions
    health = {field.name: field.default for field in msgspec.structs.fields(Health)}
    assert {name: field.default for name, field in HealthTable.model_fields.items()} == health
    channel = {field.name: field.default for field in msgspec.structs.fields(Channel) if field.name != "name"}
    assert {name: field.default for name, field in ChannelTable.model_fields.items()} == channel


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert load(path, {}).warnings == ()


def test_there_are_shipped_configurations() -> None:
    assert len(SHIPPED) >= 4


# What is wrong


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_every_mistake_in_a_file_is_found_at_its_line(path: Path) -> None:
    expected = [
        f"{path}:{number}: {mark.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for mark in line.split("#!")[1:]
        if not line.startswith("#")
    ]
    assert sorted(map(str, problems(path))) == sorted(expected)


def test_problems_come_in_the_order_of_the_file() -> None:
    lines = [problem.line or 0 for problem in problems(CASES / "streams.toml")]
    assert lines == sorted(lines)


def test_an_empty_file_lacks_three_things(write: Write) -> None:
    path = write("")
    assert [str(problem) for problem in problems(path)] == [
        f'{path}:1: gateway: missing section, add [gateway] with id = "the name of this gateway"',
        f'{path}:1: devices: missing section, add [devices] with url = "mqtt://localhost:1883"',
        f'{path}:1: streams: missing, add [[streams]] with topic = "plant/{{device}}/telemetry" and profile = "…"',
    ]


@pytest.mark.parametrize("section", ["gateway", "devices", "hub", "time", "limits", "outbox", "profiles", "streams"])
def test_a_value_in_place_of_a_table_is_one_problem(write: Write, section: str) -> None:
    text = re.sub(rf"(?ms)^\[+{section}\b.*?(?=^\[|\Z)", "", SMALL)
    found = [problem for problem in problems(write(f"{section} = 3\n{text}")) if problem.key == section]
    assert [(problem.line, problem.message.split(",")[0].split()[0]) for problem in found] == [(1, "must")]


def test_a_syntax_error_has_line_and_column_and_says_what_is_left_unchecked(write: Write) -> None:
    path = write('[gateway]\nid = "a"\n\n[devices\nurl = 3\n')
    (problem,) = problems(path)
    assert (problem.file, problem.line) == (str(path), 4)
    assert problem.message.startswith("column 9: ")
    assert problem.message.endswith("nothing else could be checked until this is put right")


def test_bytes_that_are_no_text_are_found_at_their_line(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(b'[gateway]\nid = "caf\xe9"\n')
    (problem,) = problems(path)
    assert (problem.line, problem.message) == (2, "is not UTF-8 text, save it as UTF-8; nothing else could be checked")


def test_a_byte_order_mark_and_foreign_line_ends_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(b"\xef\xbb\xbf" + changed("gateway", "idd = 1").replace("\n", "\r\n").encode())
    assert [(problem.line, problem.key) for problem in problems(path)] == [(4, "gateway.idd")]


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "none.toml")
    assert "vedette-agent config init" in problem.message


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, ".".join("a" * 3000) + " = 1", "a = " + "[" * 390 + "]" * 390])
def test_nesting_without_end_is_refused(write: Write, text: str) -> None:
    assert problems(write(text))


def test_a_file_too_large_for_a_configuration_is_refused(write: Write) -> None:
    (problem,) = problems(write("#" * (2**20 + 1)))
    assert "larger than 1,048,576 bytes" in problem.message


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path)
    assert problem.message.startswith("cannot be read: ")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost", 'must begin with "mqtt://", "mqtts://", "ws://" or "wss://"'),
        ("tcp://host:1883", 'must begin with "mqtt://", "mqtts://", "ws://" or "wss://", did you mean "mqtt://"?'),
        ("mqts://host", 'must begin with "mqtt://", "mqtts://", "ws://" or "wss://", did you mean "mqtts"?'),
        ("mqtt://", "has no host: host and port are written as mqtt://localhost:1883"),
        ("mqtt://host:0", "port 0 cannot be connected to, use 1 to 65535"),
        ("mqtt://host/x", '"/x": a path is for ws:// and wss:// only'),
        ("ws://host/x?y=1", 'must not contain "?" or "#"'),
        ("mqtt://ho st", "must not contain spaces or control characters"),
        ("mqtt://a:b@host", "must not contain user or password, use the keys username and password_file"),
    ],
)
def test_an_address_that_cannot_be_is_explained(write: Write, url: str, message: str) -> None:
    path = write(SMALL.replace("mqtt://localhost", url))
    assert [str(problem) for problem in problems(path)] == [f"{path}:6: devices.url: {message}"]


@pytest.mark.parametrize("url", ["mqtt://host:99999", "mqtt://host:x", "mqtt://[::1"])
def test_a_port_or_address_that_is_none_is_explained(write: Write, url: str) -> None:
    (problem,) = problems(write(SMALL.replace("mqtt://localhost", url)))
    assert (problem.line, problem.key, problem.message[:13]) == (6, "devices.url", "is no address")


def test_a_problem_is_one_line_without_control_characters(write: Write) -> None:
    (problem,) = problems(write(SMALL.replace("telemetry", "\\u001b[31m+\\n")))
    assert str(problem).isprintable()


# Two brokers


def with_hub(*lines: str) -> str:
    return SMALL + "\n".join(("[hub]", *lines)) + "\n"


def test_two_connections_to_one_broker_have_different_client_ids_by_default(write: Write) -> None:
    config = load(write(with_hub('url = "mqtt://127.0.0.1:1883"')), {})
    assert config.hub is not None
    assert (config.devices.client_id, config.hub.client_id) == ("vedette-gateway-1", "gateway-1")


@pytest.mark.parametrize(
    ("devices", "hub", "line"),
    [
        ('client_id = "gateway-1"', 'url = "mqtt://localhost"', 16),
        ('username = "gateway-1"', 'url = "mqtt://[::1]:1883"\nusername = "gateway-1"', 17),
        ('username = "x"', 'url = "ws://127.0.0.1:1883"\nusername = "gateway-1"\nclient_id = "x"', 18),
    ],
)
def test_one_client_id_twice_at_one_broker_is_refused(write: Write, devices: str, hub: str, line: int) -> None:
    (problem,) = problems(write(with_hub(hub).replace("[[streams]]", f"{devices}\n[[streams]]", 1)))
    assert problem.line == line
    assert "evict each other for ever: use a user for each, or set a client_id in each" in problem.message


def test_one_client_id_on_two_ports_of_a_host_is_a_warning(write: Write) -> None:
    config = load(write(with_hub('url = "mqtt://localhost:8883"', 'client_id = "vedette-gateway-1"')), {})
    assert [(warning.line, warning.key) for warning in config.warnings] == [(16, "hub.client_id")]


def test_a_user_at_the_hub_that_the_shipped_access_list_would_refuse_is_a_warning(write: Write) -> None:
    config = load(write(with_hub('url = "mqtt://localhost:8883"', 'username = "someone"')), {})
    assert [(warning.line, warning.key) for warning in config.warnings] == [(16, "hub.username")]


def test_a_password_across_the_network_in_the_clear_is_a_warning(write: Write) -> None:
    text = with_hub('url = "mqtt://hub.example.org"', 'username = "gateway-1"', 'password = "x"')
    assert [(warning.line, warning.key) for warning in load(write(text), {}).warnings] == [(15, "hub.url")]
    assert load(write(text.replace("mqtt://hub", "mqtts://hub")), {}).warnings == ()


def test_a_profile_without_stream_is_a_warning(write: Write) -> None:
    warnings = load(write(SMALL + '[profiles.fan]\nchannels = ["speed"]\n'), {}).warnings
    assert [str(warning).rpartition(": ")[2] for warning in warnings] == ["no stream uses this profile"]


# The environment


def test_variables_are_replaced_inside_text_only(write: Write) -> None:
    text = changed("gateway", 'log_level = "${LEVEL:-debug}"', 'heartbeat = "${BEAT}"').replace(
        'id = "gateway-1"', 'id = "${SITE}-${NUMBER:-1}$${x}$$"'
    )
    config = load(write(text), {"SITE": "north", "BEAT": "5", "NUMBER": ""})
    assert (config.gateway.id, config.gateway.log_level, config.gateway.heartbeat) == ("north-1${x}$$", "debug", 5.0)


def test_what_a_variable_holds_is_not_replaced_again(write: Write) -> None:
    config = load(write(SMALL.replace('"gateway-1"', '"${A}"')), {"A": "${B}", "B": "c"})
    assert config.gateway.id == "${B}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${NOT_THERE}", "environment variable NOT_THERE is not set: set it, or write ${NOT_THERE:-default}"),
        ("${EMPTY}", "environment variable EMPTY is empty: set it, or write ${EMPTY:-default}"),
        ("${a b}", "${a b} is no variable: write ${NAME} or ${NAME:-default}, and $${ for a plain ${"),
        ("${OPEN", "${ is no variable: write ${NAME} or ${NAME:-default}, and $${ for a plain ${"),
    ],
)
def test_a_variable_that_is_missing_is_named_at_its_line(write: Write, value: str, message: str) -> None:
    found = problems(write(SMALL.replace("gateway-1", f"a{value}")), {"EMPTY": ""})
    assert [(problem.line, problem.message) for problem in found] == [(3, message)]


def test_overrides_take_the_place_of_what_the_file_says(write: Write) -> None:
    environment = {
        "VEDETTE_GATEWAY__ID": "other",
        "VEDETTE_DEVICES__KEEPALIVE": "60",
        "VEDETTE_DEVICES__PROTOCOL": "3.1.1",
        "VEDETTE_HUB__URL": "mqtts://hub",
        "VEDETTE_TIME__MAX_AGE": "none",
        "VEDETTE_LIMITS__BATCH": "64",
        "VEDETTE_OUTBOX__MAX_BYTES": "1 MiB",
        "VEDETTE_CONFIG": "/somewhere",
        "VEDETTE_HUB_DATABASE": "belongs to the hub's program",
    }
    config = load(write(SMALL), environment)
    assert (config.gateway.id, config.devices.client_id, config.devices.keepalive) == ("other", "vedette-other", 60)
    assert config.hub is not None
    assert (config.devices.protocol, config.hub.port, config.hub.client_id) == ("3.1.1", 8883, "other")
    assert (config.time.max_age, config.limits.batch, config.outbox.max_bytes) == (None, 64, 2**20)


def test_what_is_wrong_with_an_override_names_the_variable(write: Write) -> None:
    environment = {
        "VEDETTE_LIMITS__BATCH": "many",
        "VEDETTE_HUB__USERNAME": "gateway-1",
        "VEDETTE_GATWAY__ID": "x",
        "VEDETTE_FOO": "x",
        "VEDETTE_STREAMS__0__TOPIC": "x",
    }
    assert [str(problem) for problem in problems(write(SMALL), environment)] == [
        "VEDETTE_HUB__USERNAME: hub.url: missing, add it to this table",
        'VEDETTE_LIMITS__BATCH: limits.batch: must be a whole number, got "many"',
        'VEDETTE_FOO: unknown variable: variables are called VEDETTE_SECTION__KEY, sections are "gateway", "devices", '
        '"hub", "time", "limits", "outbox", "models", "samples", "live" or "metrics"',
        'VEDETTE_GATWAY__ID: unknown variable, did you mean "VEDETTE_GATEWAY__ID"?',
        "VEDETTE_STREAMS__0__TOPIC: unknown variable: streams and profiles are set in the file only",
    ]


# The hub's public keys


def with_ring(folder: Path, text: str | None) -> Path:
    """A configuration in `folder` whose key ring holds this text; None: it is not there."""
    if text is not None:
        (folder / "keys").write_text(text)
    path = folder / "agent.toml"
    path.write_text(SMALL + '[hub]\nurl = "mqtt://localhost"\nclient_id = "gateway-1"\n[models]\nkey_ring = "keys"\n')
    return path


def test_a_key_ring_lies_beside_the_configuration(tmp_path: Path) -> None:
    config = load(with_ring(tmp_path, public_line(SigningKey(bytes(32)).verify_key, "ours")), {})
    assert (config.models.key_ring, config.models.fetch_timeout) == (tmp_path / "keys", 30.0)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "No such file or directory"),
        ("", "a key ring has 1 to 64 keys, this one has 0"),
        (private_line(SigningKey(bytes(32))), 'line 1: expected "vedette-public KEY-ID BASE64 remark"'),
        ("vedette-public 0123456789abcdef AAAA", "line 1: a key has 32 bytes, this one has 3"),
    ],
)
def test_a_key_ring_that_cannot_be_used_is_said(tmp_path: Path, text: str | None, what: str) -> None:
    path = with_ring(tmp_path, text)
    (problem,) = problems(path)
    line = path.read_text().splitlines().index('key_ring = "keys"') + 1
    assert str(problem).startswith(f"{path}:{line}: models.key_ring: {tmp_path / 'keys'}: {what}")
    assert str(problem).endswith("; vedette-hub enroll prints it")


def test_a_key_ring_that_is_not_text_is_said(tmp_path: Path) -> None:
    path = with_ring(tmp_path, "")
    (tmp_path / "keys").write_bytes(b"\xff\xfe")
    assert "codec can't decode" in str(problems(path)[0])


def test_a_key_ring_without_a_hub_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(public_line(SigningKey(bytes(32)).verify_key))
    path = tmp_path / "agent.toml"
    path.write_text(SMALL + '[models]\nkey_ring = "keys"\n')
    assert ["there is no [hub]" in str(warning) for warning in load(path, {}).warnings] == [True]


# Passwords and TLS files


def password_of(config: Config) -> str | None:
    return config.devices.password.get_secret_value() if config.devices.password else None


def test_a_password_is_read_from_a_file_beside_the_configuration(write: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim \n")
    secret.chmod(0o600)
    config = load(write(changed("devices", 'username = "me"', 'password_file = "secret"')), {})
    assert (password_of(config), config.devices.client_id, config.warnings) == ("geheim ", "me", ())
    assert "geheim" not in repr(config) + config.model_dump_json(exclude={"profiles"})


def test_a_password_file_that_everybody_can_read_is_a_warning(write: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim")
    secret.chmod(0o644)
    (warning,) = load(write(changed("devices", 'username = "me"', 'password_file = "secret"')), {}).warnings
    assert (warning.line, warning.key) == (8, "devices.password_file")
    assert f"chmod o-r {secret}" in warning.message


def test_a_password_is_read_from_a_systemd_credential(write: Write, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "devices-password").write_text("geheim")
    path = write(changed("devices", 'username = "me"', 'password_credential = "devices-password"'))
    assert password_of(load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "hidden")})) == "geheim"


def test_outside_the_service_a_credential_is_not_missed(write: Write) -> None:
    path = write(changed("devices", 'username = "me"', 'password_credential = "devices-password"'))
    assert "LoadCredential=devices-password:FILE" in problems(path)[0].message
    config = load(path, {}, outside_service=True)
    assert (password_of(config), [warning.line for warning in config.warnings]) == (None, [8])


def test_a_credential_cannot_lead_out_of_its_folder(write: Write, tmp_path: Path) -> None:
    path = write(changed("devices", 'username = "me"', 'password_credential = "../agent.toml"'))
    (problem,) = problems(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "is no name of a credential" in problem.message


def test_a_password_from_the_environment_replaces_every_other(write: Write) -> None:
    path = write(changed("devices", 'username = "me"', 'password_file = "not there"'))
    assert password_of(load(path, {"VEDETTE_DEVICES__PASSWORD": "4711"})) == "4711"


def test_only_one_way_to_a_password_and_never_without_a_user(write: Write, tmp_path: Path) -> None:
    path = write(changed("devices", 'password = "a"', 'password_file = "b"'))
    assert [(problem.line, problem.message) for problem in problems(path)] == [
        (8, 'only one of "password" or "password_file" may be given, remove the others')
    ]
    path = write(changed("devices", 'password = "a"'))
    assert [problem.message for problem in problems(path)] == ["a password needs a username, add one to this table"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"\xff", "is not UTF-8"), (b"x" * 65_536, "is longer"), (None, "does not exist")],
)
def test_a_password_file_without_a_password_is_explained(
    write: Write, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    (problem,) = problems(write(changed("devices", 'username = "me"', 'password_file = "secret"')))
    assert (problem.line, message in problem.message) == (8, True)


def test_a_secret_of_the_wrong_type_is_not_printed(write: Write) -> None:
    (problem,) = problems(write(changed("devices", 'username = "me"', "password = 471100")))
    assert "471100" not in str(problem)


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Without root's right to read every file."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_files_that_may_not_be_read_are_named(tmp_path: Path) -> None:
    folder = tmp_path
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    path, secret = folder / "agent.toml", folder / "secret"
    path.write_text(changed("devices", 'username = "me"', 'password_file = "secret"', 'ca_file = "secret"'))
    secret.write_text("geheim")
    secret.chmod(0)
    with as_ordinary_user():
        found = problems(path)
    assert [(problem.line, problem.key) for problem in found if "permission denied" in problem.message] == [
        (8, "devices.password_file"),
        (9, "devices.ca_file"),
    ]
    path.chmod(0)
    with as_ordinary_user():
        (problem,) = problems(path)
    assert "permission denied" in problem.message


def tls(*lines: str) -> str:
    return changed("devices", *lines).replace("mqtt://localhost", "mqtts://localhost")


def test_tls_files_are_checked_and_found_beside_the_configuration(write: Write, tmp_path: Path) -> None:
    for file in TLS.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lines = ('ca_file = "localhost.pem"', 'cert_file = "localhost.pem"', 'key_file = "localhost.key"')
    config = load(write(tls(*lines)), {})
    assert (config.devices.ca_file, config.devices.key_file) == (tmp_path / "localhost.pem", tmp_path / "localhost.key")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['ca_file = "localhost.key"'], (7, "holds no certificate in PEM form")),
        (['ca_file = "."'], (7, "is not a regular file")),
        (['cert_file = "localhost.pem"'], (7, "needs key_file beside it")),
        (['key_file = "localhost.key"'], (7, "needs cert_file beside it")),
        (['cert_file = "localhost.key"', 'key_file = "localhost.pem"'], (7, "are no certificate and its key")),
    ],
)
def test_tls_files_that_do_not_serve_are_explained(
    write: Write, tmp_path: Path, lines: list[str], expected: tuple[int, str]
) -> None:
    for file in TLS.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (problem,) = problems(write(tls(*lines)))
    assert (problem.line, expected[1] in problem.message) == (expected[0], True)


def test_certificates_without_tls_are_refused(write: Write) -> None:
    (problem, *_) = problems(write(changed("devices", f'ca_file = "{TLS / "localhost.pem"}"')))
    assert 'use "mqtts://localhost"' in problem.message
