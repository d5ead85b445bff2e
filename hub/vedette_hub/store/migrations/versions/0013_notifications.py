"""Notifications: channels, routes to them, what each was told, and the queue of messages.

Revision: 0013, after: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "channels",
        sa.Column("number", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("open_until", sa.Float(), server_default="0", nullable=False),
        sa.Column("sent", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_sent", sa.Float(), nullable=True),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("last_error_time", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_channels")),
        sa.UniqueConstraint("name", name=op.f("uq_channels_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "routes",
        sa.Column("number", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_routes")),
        sa.UniqueConstraint("name", name=op.f("uq_routes_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "route_channels",
        sa.Column("route", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["route"], ["routes.number"], name=op.f("fk_route_channels_route_routes"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["channel"], ["channels.number"], name=op.f("fk_route_channels_channel_channels")),
        sa.PrimaryKeyConstraint("route", "channel", name=op.f("pk_route_channels")),
    )
    op.create_index(op.f("ix_route_channels_channel"), "route_channels", ["channel"])
    op.create_table(
        "told",
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.String(256), nullable=False),
        sa.Column("alert", sa.String(256), nullable=False),
        sa.Column("severity", sa.String(8), nullable=True),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("route", sa.BigInteger(), nullable=True),
        sa.Column("held_until", sa.Float(), nullable=True),
        sa.Column("held_by", sa.String(256), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel"], ["channels.number"], name=op.f("fk_told_channel_channels"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["gateway", "alert"],
            ["alerts.gateway", "alerts.alert"],
            name=op.f("fk_told_gateway_alert_alerts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("gateway", "alert", "channel", name=op.f("pk_told")),
    )
    op.create_index(op.f("ix_told_held_until"), "told", ["held_until"])
    op.create_index(op.f("ix_told_channel_held_until"), "told", ["channel", "held_until"])
    op.create_table(
        "deliveries",
        sa.Column("number", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("route", sa.BigInteger(), nullable=True),
        sa.Column("route_name", sa.String(64), nullable=False),
        sa.Column("gateway", sa.String(256), nullable=False),
        sa.Column("alert", sa.String(256), nullable=False),
        sa.Column("device", sa.String(256), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("due", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("finished", sa.Float(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["channel"], ["channels.number"], name=op.f("fk_deliveries_channel_channels"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("id", name=op.f("uq_deliveries_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_deliveries_status_channel_due"), "deliveries", ["status", "channel", "due"])
    op.create_index(op.f("ix_deliveries_gateway_alert_number"), "deliveries", ["gateway", "alert", "number"])
    op.create_index(op.f("ix_deliveries_channel_number"), "deliveries", ["channel", "number"])
    op.create_index(op.f("ix_deliveries_route_channel_created"), "deliveries", ["route", "channel", "created"])
    op.create_index(
        op.f("ix_deliveries_route_channel_gateway_device_created"),
        "deliveries",
        ["route", "channel", "gateway", "device", "created"],
    )
