"""The hub's configuration: one TOML file, overridden by the environment, validated as a whole and then frozen."""

from __future__ import annotations

import difflib
import ipaddress
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import tomli
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from vedette_hub.errors import ConfigurationError
from vedette_hub.learning.training.algorithms import ALGORITHMS, DEFAULT, unknown

ENVIRONMENT_PREFIX = "VEDETTE_HUB_"
_OF_THE_AGENT = "VEDETTE_HUB__"
"""The agent's table [hub], which may be in the same environment: an agent's variables have two underscores."""
BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}

_TABLE = re.compile(r"^\s*\[\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]")
_KEY = re.compile(r"^\s*[\"']?([A-Za-z0-9_\-]+)[\"']?\s*=")


def _broker_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in BROKER_PORTS or not parts.hostname:
        raise ValueError("write it as mqtt://HOST[:PORT], or with mqtts:// (TLS), ws:// or wss:// (WebSockets)")
    if parts.username or parts.password:
        raise ValueError("no user or password in the address: use username and password_file")
    _ = parts.port  # raises ValueError with its own sentence when it is no port number
    return url


def _database_url(url: str) -> str:
    if url and not url.startswith(("sqlite:///", "postgresql")):
        raise ValueError("write it as sqlite:////absolute/path.db or postgresql+psycopg://HOST/NAME")
    return url


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("write it as https://HOST or https://HOST:PORT, and nothing behind it")
    _ = parts.port  # raises ValueError with its own sentence when it is no port number
    return text.lower()


def _collector(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("write it as http://HOST:4318, a collector's address for OTLP over HTTP")
    if parts.username or parts.password:
        raise ValueError("no user or password in the address: use OTEL_EXPORTER_OTLP_HEADERS")
    _ = parts.port  # raises ValueError with its own sentence when it is no port number
    return url.rstrip("/")


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"write it as 10.1.0.0/16 or fd00::/8: {error}") from None


def _algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        raise ValueError(unknown(name))
    return name


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class HubSection(_Section):
    """Where the hub keeps its state, and how it speaks."""

    state_dir: str = "/var/lib/vedette-hub"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    silent_after: Annotated[float, Field(ge=1)] = 180.0


class BrokerSection(_Section):
    """The broker that gateways and hub meet at."""

    url: Annotated[str, AfterValidator(_broker_url)] = "mqtt://127.0.0.1:1883"
    protocol: Literal["5", "3.1.1"] = "5"
    username: str = ""
    password_file: str = ""
    client_id: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    keep_alive: Annotated[int, Field(ge=5, le=3600)] = 30
    session_expiry: Annotated[int, Field(ge=0, le=4_294_967_294)] = 3600


class DatabaseSection(_Section):
    """Where alerts are kept."""

    url: Annotated[str, AfterValidator(_database_url)] = ""


class WebSection(_Section):
    """API and console."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    threads: Annotated[int, Field(ge=1, le=64)] = 8
    public_metrics: bool = False
    secure_cookies: bool = False
    session_hours: Annotated[float, Field(gt=0, le=8760)] = 12.0
    certificate: str = ""
    key: str = ""
    proxy_hops: Annotated[int, Field(ge=0, le=10)] = 0
    origins: list[Annotated[str, AfterValidator(_origin)]] = []
    requests_per_minute: Annotated[int, Field(ge=1)] = 60_000
    failures_per_minute: Annotated[int, Field(ge=1)] = 300
    sign_in_failures: Annotated[int, Field(ge=1)] = 10
    idempotency_hours: Annotated[float, Field(gt=0, le=8760)] = 24.0
    log_requests: Literal["none", "changes", "all"] = "changes"


class LiveSection(_Section):
    """What is told without being asked again."""

    sockets: Annotated[int, Field(ge=1, le=2_000)] = 500
    queue: Annotated[int, Field(ge=10, le=100_000)] = 1_000
    devices: Annotated[int, Field(ge=0, le=1_000)] = 50
    gateways: Annotated[int, Field(ge=0, le=1_000)] = 20


class NotifySection(_Section):
    """How people are told of alerts."""

    allow_networks: list[Annotated[str, AfterValidator(_network)]] = []
    allow_http: bool = False
    timeout: Annotated[float, Field(ge=1, le=60)] = 15.0
    retry_first: Annotated[float, Field(ge=0.05, le=3_600)] = 10.0
    retry_longest: Annotated[float, Field(ge=0.05, le=86_400)] = 1_800.0
    give_up_hours: Annotated[float, Field(gt=0, le=720)] = 24.0


class LimitsSection(_Section):
    """Bounds; what happens at each is said in `configs/hub.toml`."""

    gateways: Annotated[int, Field(ge=1)] = 10_000
    alerts: Annotated[int, Field(ge=1)] = 1_000_000
    events_per_alert: Annotated[int, Field(ge=2)] = 500
    reports: Annotated[int, Field(ge=1)] = 100_000
    unparsed: Annotated[int, Field(ge=1)] = 1_000
    unparsed_bytes: Annotated[int, Field(ge=256)] = 16_384
    samples_mb: Annotated[int, Field(ge=1)] = 1_000
    model_versions: Annotated[int, Field(ge=2)] = 50
    jobs: Annotated[int, Field(ge=1)] = 1_000
    audit: Annotated[int, Field(ge=1)] = 100_000
    deliveries: Annotated[int, Field(ge=1)] = 100_000
    idempotency_keys: Annotated[int, Field(ge=1)] = 10_000
    alerts_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    samples_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    audit_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    batch_messages: Annotated[int, Field(ge=1, le=10_000)] = 200
    linger: Annotated[float, Field(ge=0, le=1)] = 0.02


class LearningSection(_Section):
    """How models are trained."""

    schedule: str = "30 3 * * *"
    algorithm: Annotated[str, AfterValidator(_algorithm)] = DEFAULT
    window: Annotated[int, Field(ge=2, le=1024)] = 16
    trees: Annotated[int, Field(ge=1, le=500)] = 100
    samples_per_tree: Annotated[int, Field(ge=2, le=4096)] = 256
    alerts_per_week: Annotated[float, Field(ge=0, le=1000)] = 0.5
    min_vectors: Annotated[int, Field(ge=50)] = 200
    max_vectors: Annotated[int, Field(ge=1_000, le=5_000_000)] = 200_000
    timeout: Annotated[float, Field(ge=1, le=86_400)] = 3600.0
    queue: Annotated[int, Field(ge=1)] = 100


class ScoringSection(_Section):
    """How vectors that are sent to the API are scored."""

    timeout: Annotated[float, Field(gt=0, le=60)] = 0.1
    concurrent: Annotated[int, Field(ge=1, le=64)] = 4
    models: Annotated[int, Field(ge=1, le=1_000)] = 16
    waiting: Annotated[int, Field(ge=0, le=64)] = 2


class TracingSection(_Section):
    """Where traces go."""

    endpoint: Annotated[str, AfterValidator(_collector)] = ""
    share: Annotated[float, Field(ge=0, le=1)] = 1.0


class Config(_Section):
    """Everything a hub is told; see `configs/hub.toml` for what each key means."""

    hub: HubSection = HubSection()
    broker: BrokerSection = BrokerSection()
    database: DatabaseSection = DatabaseSection()
    web: WebSection = WebSection()
    live: LiveSection = LiveSection()
    notify: NotifySection = NotifySection()
    limits: LimitsSection = LimitsSection()
    learning: LearningSection = LearningSection()
    scoring: ScoringSection = ScoringSection()
    tracing: TracingSection = TracingSection()

    @property
    def state_dir(self) -> Path:
        """The state directory."""
        return Path(self.hub.state_dir)

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database; SQLite in the state directory unless told otherwise."""
        return self.database.url or f"sqlite:///{self.state_dir / 'hub.db'}"

    def broker_password(self) -> str | None:
        """The broker password from its file; None without one.

        Raises:
            ConfigurationError: the file cannot be read, or is empty.
        """
        if not self.broker.password_file:
            return None
        try:
            password = Path(self.broker.password_file).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError([f"broker.password_file: {error}; put the password alone into it"]) from error
        if not password:
            raise ConfigurationError([f"broker.password_file: {self.broker.password_file} is empty"])
        return password


_PATH_KEYS = (("hub", "state_dir"), ("broker", "password_file"), ("broker", "ca_file"), ("broker", "cert_file"),
              ("broker", "key_file"), ("web", "certificate"), ("web", "key"))  # fmt: skip
_MUST_EXIST = _PATH_KEYS[1:]


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration in the file at `path` (None: defaults), overridden by `VEDETTE_HUB_…` variables.

    Relative paths in the file start at the file's folder, those in the environment at the working directory.

    Raises:
        ConfigurationError: with every mistake there is, one line each.
    """
    lines: dict[tuple[str, ...], int] = {}
    tree: dict[str, Any] = {}
    if path is not None:
        text = _read(path)
        tree = _parse(path, text)
        _anchor_paths(tree, path.parent)
        lines = _key_lines(text)
    sources = {key: f"{path}:{line}" for key, line in lines.items()}
    problems = _override(tree, environment, sources)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        config = None
        problems += [_sentence(detail, tree, sources, path) for detail in error.errors()]
    problems += _missing_files(tree, sources)
    if problems or config is None:
        raise ConfigurationError(problems)
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError([f"{path}: {reason}; `vedette-hub config init` writes a commented example"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8 at byte {error.start}"]) from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigurationError([f"{path}:{error.lineno} column {error.colno}: {error.msg}"]) from error


def _anchor_paths(tree: dict[str, Any], folder: Path) -> None:
    for section, key in _PATH_KEYS:
        table = tree.get(section)
        if isinstance(table, dict) and isinstance(table.get(key), str) and table[key]:
            table[key] = str((folder / Path(table[key]).expanduser()).absolute())


def _key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Line of every table and key of a TOML text whose strings do not span lines."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = tuple(part.strip(" \"'") for part in header[1].split("."))
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, key[1]), number)
    return lines


def _sections() -> dict[str, type[BaseModel]]:
    return {name: type(field.default) for name, field in Config.model_fields.items()}


def _variables() -> dict[str, tuple[str, str]]:
    """Environment variable → (section, key); the section `hub` is the prefix itself."""
    names: dict[str, tuple[str, str]] = {}
    for section, model in _sections().items():
        for key in model.model_fields:
            middle = "" if section == "hub" else f"{section.upper()}_"
            names[f"{ENVIRONMENT_PREFIX}{middle}{key.upper()}"] = (section, key)
    return names


def _override(tree: dict[str, Any], environment: Mapping[str, str], sources: dict[tuple[str, ...], str]) -> list[str]:
    problems: list[str] = []
    known = _variables()
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable.startswith(_OF_THE_AGENT):
            continue
        if variable not in known:
            problems.append(f"environment {variable}: unknown variable{_did_you_mean(variable, known)}")
            continue
        section, key = known[variable]
        table = tree.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = _typed(section, key, value)
            sources[(section, key)] = f"environment {variable}:"
    return problems


def _typed(section: str, key: str, value: str) -> Any:
    """A variable's text as the TOML value it would be, so that file and environment meet the same validation."""
    default = getattr(getattr(Config(), section), key)
    if isinstance(default, str):
        return str(Path(value).absolute()) if value and (section, key) in _PATH_KEYS else value
    try:
        return tomli.loads(f"value = {value}")["value"]
    except tomli.TOMLDecodeError:
        return value


def _did_you_mean(name: str, known: Mapping[str, object] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f', did you mean "{close[0]}"?' if close else f"; known: {', '.join(known)}" if len(known) < 16 else ""


def _sentence(
    detail: ErrorDetails,
    tree: dict[str, Any],
    sources: dict[tuple[str, ...], str],
    path: Path | None,
) -> str:
    location = tuple(str(part) for part in detail["loc"])
    where = sources.get(location) or sources.get(location[:1]) or (str(path) if path else "configuration")
    name = ".".join(location)
    if detail["type"] == "extra_forbidden":
        known = list(_sections() if len(location) == 1 else _sections()[location[0]].model_fields)
        what = "unknown section" if len(location) == 1 and isinstance(tree.get(location[0]), dict) else "unknown key"
        return f"{where} {name}: {what}{_did_you_mean(location[-1], known)}"
    if detail["type"] == "model_type":
        return f"{where} {name}: must be a section, written [{name}]"
    message = detail["msg"].removeprefix("Value error, ")
    value = detail["input"]
    # An address may hold a password, which belongs in no log.
    shown = "" if isinstance(value, dict) or "@" in str(value) else f", not {value!r}"
    return f"{where} {name}: {message[:1].lower()}{message[1:]}{shown}"


def _missing_files(tree: dict[str, Any], sources: dict[tuple[str, ...], str]) -> list[str]:
    problems = []
    for section, key in _MUST_EXIST:
        table = tree.get(section)
        name = table.get(key) if isinstance(table, dict) else None
        if isinstance(name, str) and name and (problem := _no_file(Path(name))):
            problems.append(f"{sources.get((section, key), 'configuration')} {section}.{key}: {problem}")
    for section, certificate, private in (("broker", "cert_file", "key_file"), ("web", "certificate", "key")):
        table = tree.get(section)
        if isinstance(table, dict) and bool(table.get(certificate)) != bool(table.get(private)):
            given, missing = (certificate, private) if table.get(certificate) else (private, certificate)
            where = sources.get((section, given), "configuration")
            problems.append(f"{where} {section}.{given}: needs {missing} as well")
    return problems


def _no_file(path: Path) -> str:
    """What is wrong with a file that must be there; empty where nothing is."""
    try:
        return "" if stat.S_ISREG(path.stat().st_mode) else f"{path} is no file"
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no file {path}"
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror}; the hub's user must be able to enter its folder"
    except ValueError as error:
        return f"{str(path)!r}: {error}"
