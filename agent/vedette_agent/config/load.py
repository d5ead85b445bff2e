"""From the file and the environment to a `Config`, or to everything that is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli
from pydantic import SecretStr

from vedette_agent.config.checks import check_brokers, check_key_ring, check_streams
from vedette_agent.config.credentials import PASSWORD_KEYS, PasswordReader, check_tls
from vedette_agent.config.environment import overrides, substitute
from vedette_agent.config.lines import key_lines
from vedette_agent.config.models import (
    Broker,
    Config,
    Gateway,
    Limits,
    LiveSettings,
    MetricsSettings,
    Models,
    OutboxLimits,
    Samples,
    Stream,
    TimePolicy,
)
from vedette_agent.config.problems import ConfigError, Findings, Problem, unknown_key
from vedette_agent.config.profiles import build_profile
from vedette_agent.config.tables import validated
from vedette_agent.config.units import ExternalText, describe, is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from vedette_agent.config.problems import KeyPath

MAX_FILE_BYTES = 2**20

_SECTIONS: dict[str, type[BaseModel]] = {
    "gateway": Gateway,
    "devices": Broker,
    "hub": Broker,
    "time": TimePolicy,
    "limits": Limits,
    "outbox": OutboxLimits,
    "models": Models,
    "samples": Samples,
    "live": LiveSettings,
    "metrics": MetricsSettings,
}
_KNOWN = (*_SECTIONS, "streams", "profiles")
_FILES = {
    "gateway": ("state_dir",),
    "devices": ("password_file", "ca_file", "cert_file", "key_file"),
    "hub": ("password_file", "ca_file", "cert_file", "key_file"),
    "models": ("key_ring",),
}
_MISSING = {
    "gateway": 'missing section, add [gateway] with id = "the name of this gateway"',
    "devices": 'missing section, add [devices] with url = "mqtt://localhost:1883"',
    "streams": 'missing, add [[streams]] with topic = "plant/{device}/telemetry" and profile = "…"',
}


def load(path: Path, environment: Mapping[str, str], *, outside_service: bool = False) -> Config:
    """Read and check a configuration.

    Relative paths in it start at its own folder. With `outside_service`, for commands that a person runs beside the
    service, a password that systemd hands to the service alone is warned of instead of missed.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or says what cannot be; all problems at once.
    """
    text = _read(path)
    try:
        document = tomli.loads(text)
        lines = key_lines(text)
        return _check(path, document, lines, environment, outside_service)
    except tomli.TOMLDecodeError as error:
        message = f"column {error.colno}: {error.msg}; nothing else could be checked until this is put right"
        raise ConfigError([Problem(str(path), error.lineno, "", message)]) from None
    except RecursionError:
        message = "tables or lists are nested too deeply; nothing else could be checked until this is put right"
        raise ConfigError([Problem(str(path), None, "", message)]) from None


def _check(
    path: Path,
    document: dict[str, Any],
    lines: Mapping[KeyPath, int],
    environment: Mapping[str, str],
    outside_service: bool,
) -> Config:
    variables: dict[KeyPath, str] = {}
    findings = Findings(path, lines, variables)
    document = substitute(document, environment, findings.add)
    problems = _override(document, variables, environment)
    _resolve_files(document, path.parent)

    for key in document:
        if key not in _KNOWN:
            findings.add((key,), unknown_key(key, _KNOWN))
    for key, message in _MISSING.items():
        if key not in document:
            findings.add((key,), message)

    gateway_table = document.get("gateway")
    gateway_id = gateway_table.get("id") if isinstance(gateway_table, dict) else None
    passwords = PasswordReader(environment, findings, outside_service=outside_service)
    devices = _broker("devices", f"vedette-{gateway_id}", document, passwords, findings)
    hub = _broker("hub", str(gateway_id), document, passwords, findings)
    gateway = validated(Gateway, ("gateway",), document["gateway"], findings) if "gateway" in document else None
    time = validated(TimePolicy, ("time",), document.get("time", {}), findings)
    limits = validated(Limits, ("limits",), document.get("limits", {}), findings)
    outbox = validated(OutboxLimits, ("outbox",), document.get("outbox", {}), findings)
    models = validated(Models, ("models",), document.get("models", {}), findings)
    samples = validated(Samples, ("samples",), document.get("samples", {}), findings)
    live = validated(LiveSettings, ("live",), document.get("live", {}), findings)
    metrics = validated(MetricsSettings, ("metrics",), document.get("metrics", {}), findings)

    profile_tables = document.get("profiles", {})
    if not isinstance(profile_tables, dict):
        findings.add(("profiles",), f"must be tables [profiles.<name>], got {describe(profile_tables)}")
        profile_tables = {}
    profiles = {name: build_profile(name, table, findings) for name, table in profile_tables.items()}

    stream_tables = document.get("streams", [])
    if not isinstance(stream_tables, list) or ("streams" in document and not stream_tables):
        findings.add(("streams",), f"must be one or more tables [[streams]], got {describe(stream_tables)}")
        stream_tables = []
    streams = [validated(Stream, ("streams", index), table, findings) for index, table in enumerate(stream_tables)]

    check_streams(stream_tables, profile_tables, findings)
    check_brokers(devices, hub, gateway.id if gateway else None, findings)

    check_key_ring(models, hub, findings)

    problems = [*findings.problems, *problems]
    if (
        problems
        or not (gateway and devices and time and limits)
        or not (outbox and models and samples and live and metrics)
    ):
        raise ConfigError(problems)
    return Config(
        gateway=gateway,
        devices=devices,
        hub=hub,
        time=time,
        limits=limits,
        outbox=outbox,
        models=models,
        samples=samples,
        live=live,
        metrics=metrics,
        streams=tuple(stream for stream in streams if stream is not None),
        profiles={name: profile for name, profile in profiles.items() if profile is not None},
        source=path,
        warnings=tuple(findings.warnings),
    )


def _read(path: Path) -> str:
    def unusable(message: str, line: int | None = None) -> ConfigError:
        return ConfigError([Problem(str(path), line, "", message)])

    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise unusable(
            f"no such file: write one with `vedette-agent config init {path}`, or name yours with --config"
        ) from None
    except PermissionError:
        raise unusable("may not be read by this user (permission denied), give its group read access") from None
    except OSError as error:
        raise unusable(f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise unusable(f"is larger than {MAX_FILE_BYTES:,} bytes: is this the configuration?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise unusable("is not UTF-8 text, save it as UTF-8; nothing else could be checked", line) from None


def _override(document: dict[str, Any], variables: dict[KeyPath, str], environment: Mapping[str, str]) -> list[Problem]:
    """Put what `VEDETTE_SECTION__KEY` variables say into the document; note which variable set which key."""
    sections = {section: tuple(model.model_fields) for section, model in _SECTIONS.items()}
    found, problems = overrides(environment, sections)
    for (section, key), variable in found.items():
        if section not in document:
            document[section] = {}
            variables[(section,)] = variable
        table = document[section]
        if not isinstance(table, dict):
            continue  # reported where the section is checked
        if key in PASSWORD_KEYS:
            # A password from the environment stands in for whichever way the file names one.
            for other in PASSWORD_KEYS:
                if (section, other) not in variables:
                    table.pop(other, None)
        table[key] = ExternalText(environment[variable])
        variables[(section, key)] = variable
    return problems


def _resolve_files(document: dict[str, Any], folder: Path) -> None:
    for section, keys in _FILES.items():
        table = document.get(section)
        if isinstance(table, dict):
            for key in keys:
                if isinstance(value := table.get(key), str) and value.strip() and "\0" not in value:
                    table[key] = folder / value


def _broker(
    section: str,
    default_client_id: str,
    document: Mapping[str, Any],
    passwords: PasswordReader,
    findings: Findings,
) -> Broker | None:
    if section not in document:
        return None
    table = document[section]
    if isinstance(table, dict):
        password = passwords.read((section,), table)
        check_tls((section,), table, findings)
        client_id = table.get("username", default_client_id)
        if not is_name(client_id, 256):
            client_id = section  # the fault is reported where it is; this only lets the other checks go on
        table = {"client_id": client_id} | table
        if isinstance(table.get("password"), str) or password is not None:
            table["password"] = SecretStr(password or "")
    return validated(Broker, (section,), table, findings)
