"""Tables of the store. Times are seconds since 1970 UTC; the migrations under `migrations/` must say the same."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

NAME_LENGTH = 256
"""Longest name of a gateway, device, profile, kind, alert or epoch, in characters."""

# SQLite numbers rows by itself only in a column of type INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _name(column: str, *, primary_key: bool = False) -> Column[str]:
    return Column(column, String(NAME_LENGTH), nullable=False, primary_key=primary_key)


gateways = Table(
    "gateways",
    metadata,
    _name("gateway", primary_key=True),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("online", Boolean, nullable=False, server_default=false()),
    Column("status", Text, nullable=True),
    Column("status_received", Float, nullable=True),
    Column("rows", BigInteger, nullable=False, server_default="0"),
    Column("duplicates", BigInteger, nullable=False, server_default="0"),
    Column("unparsed", BigInteger, nullable=False, server_default="0"),
    Column("lost_rows", BigInteger, nullable=False, server_default="0"),
    Column("held_back", BigInteger, nullable=False, server_default="0"),
    Column("group", String(NAME_LENGTH), nullable=False, server_default=""),
    Index(None, "group"),
)

ledgers = Table(
    "ledgers",
    metadata,
    _name("gateway", primary_key=True),
    _name("priority", primary_key=True),
    _name("epoch", primary_key=True),
    Column("through", BigInteger, nullable=False),
    Column("ranges", Text, nullable=False),
    Column("updated", Float, nullable=False),
    Index(None, "gateway", "priority", "updated"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    _name("gateway"),
    _name("alert"),
    Column("revision", BigInteger, nullable=False),
    _name("device"),
    _name("profile"),
    _name("kind"),
    Column("state", String(8), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("opened", Float, nullable=False),
    Column("received", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("event", Text, nullable=False),
    Column("acknowledged_by", String(NAME_LENGTH), nullable=True),
    Column("acknowledged_time", Float, nullable=True),
    Column("acknowledged_severity", String(8), nullable=True),
    Column("resolved_by", String(NAME_LENGTH), nullable=True),
    Column("resolved_time", Float, nullable=True),
    Column("resolved_revision", BigInteger, nullable=True),
    Column("label", String(8), nullable=True),
    Column("label_by", String(NAME_LENGTH), nullable=True),
    Column("label_time", Float, nullable=True),
    # Higher for an alert that has changed later, whatever the clock says; committed in this order.
    Column("changed", BigInteger, nullable=False, server_default="0"),
    Column("assignee", String(NAME_LENGTH), nullable=True),
    Column("assigned_by", String(NAME_LENGTH), nullable=True),
    Column("assigned_time", Float, nullable=True),
    Column("detector", String(NAME_LENGTH), nullable=False, server_default=""),
    # Which rule of the hub gave it its severity; the gateway's own is in the event.
    Column("rule", String(NAME_LENGTH), nullable=True),
    UniqueConstraint("gateway", "alert"),
    Index(None, "gateway", "serial"),
    Index(None, "device", "serial"),
    Index(None, "profile", "serial"),
    Index(None, "kind", "serial"),
    Index(None, "label", "serial"),
    Index(None, "opened"),
    Index(None, "changed"),
    Index(None, "severity", "serial"),
    Index(None, "assignee", "serial"),
    Index(None, "state", "acknowledged", "severity", "serial"),
    # A serial is never given twice, also when the newest alert has been deleted: pages and links rely on it.
    sqlite_autoincrement=True,
)

# A narrow copy of the alerts in their order: what people look for, without what they read. PostgreSQL would refuse an
# alert with long names in it, and finds its way without.
Index(
    "ix_alerts_facets",
    *(alerts.c[name] for name in ("serial", "opened", "severity", "state", "acknowledged", "label")),
    *(alerts.c[name] for name in ("kind", "profile", "detector", "assignee", "gateway", "device")),
).ddl_if(dialect="sqlite")

alert_events = Table(
    "alert_events",
    metadata,
    _name("gateway", primary_key=True),
    _name("alert", primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("received", Float, nullable=False),
    Column("event", Text, nullable=False),
    ForeignKeyConstraint(["gateway", "alert"], ["alerts.gateway", "alerts.alert"], ondelete="CASCADE"),
)

alert_actions = Table(
    "alert_actions",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    _name("gateway"),
    _name("alert"),
    Column("action", String(16), nullable=False),
    Column("time", Float, nullable=False),
    Column("by", String(NAME_LENGTH), nullable=False),
    Column("comment", Text, nullable=False),
    Column("label", String(8), nullable=True),
    Column("assignee", String(NAME_LENGTH), nullable=True),
    ForeignKeyConstraint(["gateway", "alert"], ["alerts.gateway", "alerts.alert"], ondelete="CASCADE"),
    Index(None, "gateway", "alert", "number"),
)

silences = Table(
    "silences",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("matchers", Text, nullable=False),
    Column("start", Float, nullable=False),
    Column("end", Float, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", String(NAME_LENGTH), nullable=False),
    Column("ended_by", String(NAME_LENGTH), nullable=False, server_default=""),
    Index(None, "end"),
    # A number is never given twice: histories name it.
    sqlite_autoincrement=True,
)

maintenance_windows = Table(
    "maintenance_windows",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    _name("name"),
    Column("matchers", Text, nullable=False),
    Column("start", Float, nullable=False),
    Column("end", Float, nullable=False),
    Column("weekly", Boolean, nullable=False, server_default=false()),
    Column("timezone", String(64), nullable=False),
    Column("until", Float, nullable=True),
    Column("comment", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", String(NAME_LENGTH), nullable=False),
    sqlite_autoincrement=True,
)

severity_rules = Table(
    "severity_rules",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("place", Integer, nullable=False),
    Column("matchers", Text, nullable=False),
    Column("score_at_least", Float, nullable=True),
    Column("severity", String(8), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("comment", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Column("changed_by", String(NAME_LENGTH), nullable=False),
    Index(None, "place"),
)

unparsed = Table(
    "unparsed",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("received", Float, nullable=False),
    Column("topic", Text, nullable=False),
    Column("gateway", String(NAME_LENGTH), nullable=True),
    Column("error", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    _name("gateway"),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "gateway", "number"),
)

losses = Table(
    "losses",
    metadata,
    _name("gateway", primary_key=True),
    _name("priority", primary_key=True),
    _name("epoch", primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, primary_key=True, autoincrement=False),
    Column("rows", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    _name("name", primary_key=True),
    Column("value", BigInteger, nullable=False),
)

samples = Table(
    "samples",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    _name("gateway"),
    _name("profile"),
    _name("device"),
    Column("channels", Text, nullable=False),
    Column("first", Float, nullable=False),
    Column("last", Float, nullable=False),
    Column("readings", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("received", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("suspect", Boolean, nullable=False, server_default=false()),
    Index(None, "profile", "number", "readings", "bytes"),
    Index(None, "gateway", "device", "first"),
    # A number is never given twice: a dataset says up to which one it has read.
    sqlite_autoincrement=True,
)

models = Table(
    "models",
    metadata,
    _name("profile", primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False),
    _name("detector"),
    Column("bytes", Integer, nullable=False),
    Column("artefact", LargeBinary, nullable=False),
    Column("created", Float, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("lineage", Text, nullable=False),
    Column("report", Text, nullable=False),
    UniqueConstraint("profile", "sha256"),
    Index(None, "sha256"),
)

plots = Table(
    "plots",
    metadata,
    _name("profile", primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _name("name", primary_key=True),
    Column("place", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(["profile", "version"], ["models.profile", "models.version"], ondelete="CASCADE"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    _name("profile"),
    Column("request", Text, nullable=False),
    Column("by", String(NAME_LENGTH), nullable=False),
    Column("state", String(16), nullable=False),
    Column("progress", Float, nullable=False, server_default="0"),
    Column("message", Text, nullable=False, server_default=""),
    Column("result", Text, nullable=True),
    Column("created", Float, nullable=False),
    Column("started", Float, nullable=True),
    Column("finished", Float, nullable=True),
    Index(None, "state", "number"),
    Index(None, "profile", "number"),
    sqlite_autoincrement=True,
)

# What was sent with a job to work on; gone when it ends.
job_data = Table(
    "job_data",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(["number"], ["jobs.number"], ondelete="CASCADE"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("name", String(NAME_LENGTH), nullable=False, unique=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created", Float, nullable=False),
    Column("last_used", Float, nullable=True),
    Column("revoked", Float, nullable=True),
    Column("role", String(16), nullable=False),
    Column("scopes", Text, nullable=True),
    Column("expires", Float, nullable=True),
    Column("by", String(NAME_LENGTH), nullable=False, server_default=""),
)

users = Table(
    "users",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("password", String(256), nullable=False),
    Column("password_due", Boolean, nullable=False, server_default=false()),
    Column("password_set", Float, nullable=False),
    Column("role", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("last_sign_in", Float, nullable=True),
    Column("disabled", Float, nullable=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user", BigInteger, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("address", String(64), nullable=False),
    ForeignKeyConstraint(["user"], ["users.number"], ondelete="CASCADE"),
    Index(None, "user", "created"),
    Index(None, "expires"),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("by", String(NAME_LENGTH), nullable=False),
    Column("address", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Index(None, "by", "number"),
    Index(None, "action", "number"),
    Index(None, "outcome", "number"),
    Index(None, "time"),
    # A number is never given twice: pages rely on it.
    sqlite_autoincrement=True,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("key", String(NAME_LENGTH), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=True),
    Index(None, "created"),
)

desired = Table(
    "desired",
    metadata,
    _name("gateway", primary_key=True),
    _name("profile", primary_key=True),
    Column("version", Integer, nullable=True),
    Column("sha256", String(64), nullable=True),
    Column("previous_version", Integer, nullable=True),
    Column("previous_sha256", String(64), nullable=True),
    Column("ordered", Float, nullable=False),
    Column("by", String(NAME_LENGTH), nullable=False),
    Index(None, "profile", "gateway"),
    Index(None, "sha256"),
    Index(None, "previous_sha256"),
)

manifests = Table(
    "manifests",
    metadata,
    _name("gateway", primary_key=True),
    Column("counter", BigInteger, nullable=False),
    Column("nonce", String(256), nullable=False),
    Column("key", String(64), nullable=False),
    Column("issued", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("due", String(8), nullable=False),
    Column("published", Float, nullable=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Index(None, "due", "gateway"),
)

# What signing keys have said of each other, in this order; it goes out with every manifest.
key_statements = Table(
    "key_statements",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("body", LargeBinary, nullable=False),
    Column("made", Float, nullable=False),
)

# What the broker holds for gateways to fetch; the bytes are in `models`.
artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("due", String(8), nullable=False),
    Column("published", Float, nullable=True),
)

activations = Table(
    "activations",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    _name("gateway"),
    _name("profile"),
    Column("version", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(NAME_LENGTH), nullable=False),
    Column("detail", Text, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False),
    Index(None, "gateway", "profile", "number"),
)

# What people have set; it wins over the configuration.
retention_limits = Table(
    "retention_limits",
    metadata,
    _name("name", primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("by", String(NAME_LENGTH), nullable=False),
    Column("time", Float, nullable=False),
)
