"""Tables of notifications: channels, routes, what each channel was told, and the queue."""

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
    String,
    Table,
    Text,
    UniqueConstraint,
)

from vedette_hub.store.schema import NAME_LENGTH, Serial, metadata

SHORT_NAME = 64
"""Longest name of a channel or route, in characters."""

channels = Table(
    "channels",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("name", String(SHORT_NAME), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("settings", Text, nullable=False),
    # What nobody is shown again, encrypted with a key in the state directory.
    Column("sealed", LargeBinary, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", String(NAME_LENGTH), nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("open_until", Float, nullable=False, server_default="0"),
    Column("sent", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Column("last_sent", Float, nullable=True),
    Column("last_error", Text, nullable=False, server_default=""),
    Column("last_error_time", Float, nullable=True),
    UniqueConstraint("name"),
    # A number is never given twice: histories name it.
    sqlite_autoincrement=True,
)

routes = Table(
    "routes",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("name", String(SHORT_NAME), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("settings", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", String(NAME_LENGTH), nullable=False),
    UniqueConstraint("name"),
    sqlite_autoincrement=True,
)

route_channels = Table(
    "route_channels",
    metadata,
    Column("route", BigInteger, primary_key=True, autoincrement=False),
    Column("channel", BigInteger, primary_key=True, autoincrement=False),
    ForeignKeyConstraint(["route"], ["routes.number"], ondelete="CASCADE"),
    # No cascade: a channel that a route leads to is not removed.
    ForeignKeyConstraint(["channel"], ["channels.number"]),
    Index(None, "channel"),
)

told = Table(
    "told",
    metadata,
    Column("gateway", String(NAME_LENGTH), primary_key=True),
    Column("alert", String(NAME_LENGTH), primary_key=True),
    Column("channel", BigInteger, primary_key=True, autoincrement=False),
    Column("severity", String(8), nullable=True),
    Column("state", String(8), nullable=False),
    Column("route", BigInteger, nullable=True),
    Column("held_until", Float, nullable=True),
    Column("held_by", String(NAME_LENGTH), nullable=False),
    ForeignKeyConstraint(["channel"], ["channels.number"], ondelete="CASCADE"),
    ForeignKeyConstraint(["gateway", "alert"], ["alerts.gateway", "alerts.alert"], ondelete="CASCADE"),
    Index(None, "held_until"),
    Index(None, "channel", "held_until"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False),
    Column("channel", BigInteger, nullable=False),
    Column("route", BigInteger, nullable=True),
    Column("route_name", String(SHORT_NAME), nullable=False),
    Column("gateway", String(NAME_LENGTH), nullable=False),
    Column("alert", String(NAME_LENGTH), nullable=False),
    Column("device", String(NAME_LENGTH), nullable=False),
    Column("cause", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("status", String(8), nullable=False),
    Column("due", Float, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("finished", Float, nullable=True),
    Column("detail", Text, nullable=False, server_default=""),
    ForeignKeyConstraint(["channel"], ["channels.number"], ondelete="CASCADE"),
    UniqueConstraint("id"),
    Index(None, "status", "channel", "due"),
    Index(None, "gateway", "alert", "number"),
    Index(None, "channel", "number"),
    Index(None, "route", "channel", "created"),
    Index(None, "route", "channel", "gateway", "device", "created"),
    sqlite_autoincrement=True,
)
