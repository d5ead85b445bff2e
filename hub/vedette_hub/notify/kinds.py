"""The kinds of channels: what each has to be told, what of it is secret, and what may be shown."""

from __future__ import annotations

import base64
import secrets
from email.errors import HeaderParseError
from email.headerregistry import Address
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vedette_hub.notify.errors import SettingsError
from vedette_models import topics

Kind = Literal["webhook", "email", "mqtt", "log", "apprise"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SECRET_PREFIX = "whsec_"  # noqa: S105  # what a secret of a webhook begins with
_SECRET_BYTES = 32


def _web_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write it as https://HOST/PATH")
    if parts.username or parts.password:
        raise ValueError("no user or password in the address: what it says is signed with the channel's secret")
    _ = parts.port  # raises ValueError with its own sentence when it is no port number
    if not text.isascii() or any(character <= " " or character == "\x7f" for character in text):
        raise ValueError("write spaces, and what is not ASCII, percent-encoded")
    return text


def _signing_secret(text: str) -> str:
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not text.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(f"write {SECRET_PREFIX} and 24 to 64 bytes in base64, or leave it out: then one is made")
    return text


def _mail_address(text: str) -> str:
    try:
        found = Address(addr_spec=text)
    except (HeaderParseError, ValueError, IndexError):
        found = None
    if found is None or not found.domain or not text.isascii() or any(character <= " " for character in text):
        raise ValueError("write it as NAME@DOMAIN")
    return text


def _host(text: str) -> str:
    if not text.isascii() or any(character <= " " or character in "/@?#" for character in text):
        raise ValueError("write the name or address of the host alone")
    return text


def _topic(text: str) -> str:
    if "+" in text or "#" in text or "\0" in text or text.startswith(("$", "/")):
        raise ValueError("a topic to publish on: without + and #, and neither $ nor / at its beginning")
    if topics.is_own(text) and not text.startswith(f"{ALERTS_TOPIC}/") and text != ALERTS_TOPIC:
        raise ValueError(f"topics under {topics.ROOT}/ are Vedette's own; of these only {ALERTS_TOPIC}/… is for this")
    return text


def _apprise_url(text: str) -> str:
    if "://" not in text or any(character < " " for character in text):
        raise ValueError("write one address as Apprise has it, such as slack://…; its documentation lists them")
    return text


ALERTS_TOPIC = f"{topics.ROOT}/v1/alerts"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    secret_fields: ClassVar[tuple[str, ...]] = ()

    @property
    def address(self) -> str:
        """Where it leads, without anything secret."""
        raise NotImplementedError


class WebhookSettings(_Settings):
    """A POST to an address, signed as in the Standard Webhooks specification."""

    secret_fields = ("url", "secret")

    url: Annotated[str, Field(max_length=2_000), AfterValidator(_web_url)]
    secret: Annotated[str, Field(max_length=200), AfterValidator(_signing_secret)]

    @property
    def address(self) -> str:
        """Scheme, host and port: paths of such addresses are often secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/…"


class EmailSettings(_Settings):
    """A mail by SMTP."""

    secret_fields = ("password",)

    host: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_host)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: Annotated[str, Field(max_length=255)] = ""
    password: Annotated[str, Field(max_length=1_000)] = ""
    sender: Annotated[str, Field(max_length=255), AfterValidator(_mail_address)]
    to: Annotated[
        list[Annotated[str, Field(max_length=255), AfterValidator(_mail_address)]], Field(min_length=1, max_length=50)
    ]

    @property
    def address(self) -> str:
        """The receivers."""
        return ", ".join(self.to)


class MqttSettings(_Settings):
    """A message on the hub's own broker, over the hub's own connection."""

    topic: Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_topic)] = ALERTS_TOPIC
    retain: bool = False

    @property
    def address(self) -> str:
        """The topic."""
        return self.topic


class LogSettings(_Settings):
    """A line in the hub's log."""

    level: Literal["info", "warning", "error"] = "warning"

    @property
    def address(self) -> str:
        """Where it goes."""
        return f"the hub's log, {self.level}"


class AppriseSettings(_Settings):
    """One of the services that Apprise knows: Slack, PagerDuty, Teams and many others."""

    secret_fields = ("url",)

    url: Annotated[str, Field(max_length=2_000), AfterValidator(_apprise_url)]

    @property
    def address(self) -> str:
        """The service."""
        return f"{self.url.split('://', 1)[0]}://…"


Settings = WebhookSettings | EmailSettings | MqttSettings | LogSettings | AppriseSettings
_OF_KIND: dict[Kind, type[Settings]] = {
    "webhook": WebhookSettings,
    "email": EmailSettings,
    "mqtt": MqttSettings,
    "log": LogSettings,
    "apprise": AppriseSettings,
}


def parse_kind(text: str) -> Kind:
    """The kind with this name.

    Raises:
        SettingsError: there is none.
    """
    for kind in KINDS:
        if kind == text:
            return kind
    raise SettingsError({"kind": [f"{text!r} is not known; use {', '.join(KINDS)}"]})


def parse(kind: Kind, given: dict[str, Any], *, allow_http: bool) -> Settings:
    """Settings of a channel from what somebody gave, checked as a whole.

    Raises:
        SettingsError: with everything that is wrong, by field.
    """
    if kind == "webhook" and not given.get("secret"):
        given = {**given, "secret": SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}
    try:
        made = _OF_KIND[kind].model_validate(given)
    except ValidationError as error:
        raise SettingsError(_problems(error, kind)) from None
    if isinstance(made, WebhookSettings) and not allow_http and made.url.startswith("http:"):
        raise SettingsError({"settings.url": ["write https://; notify.allow_http would allow it unencrypted"]})
    if isinstance(made, EmailSettings) and made.security == "none" and not allow_http:
        raise SettingsError({"settings.security": ["unencrypted mail is sent only with notify.allow_http"]})
    if isinstance(made, EmailSettings) and made.username and made.security == "none":
        raise SettingsError({"settings.security": ["a password never goes unencrypted: use starttls or tls"]})
    return made


def _problems(error: ValidationError, kind: Kind) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    known = ", ".join(_OF_KIND[kind].model_fields)
    for detail in error.errors():
        name = ".".join(["settings", *map(str, detail["loc"])])
        text = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            text = f"unknown field; a channel of kind {kind} has {known}"
        found.setdefault(name, []).append(text)
    return found


def secret_fields(kind: Kind) -> tuple[str, ...]:
    """Settings of a kind that nobody is shown."""
    return _OF_KIND[kind].secret_fields


def split(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what may be shown, what may not) of settings."""
    every = settings.model_dump()
    hidden = {name: every.pop(name) for name in settings.secret_fields}
    return every, hidden
