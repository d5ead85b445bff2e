"""The first schema: gateways, ledgers, alerts with their history, unparsed messages, losses, reports, tokens.

Revision: 0001, after: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "alerts",
        sa.Column("serial", SERIAL, autoincrement=True, nullable=False),
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("alert", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.String(length=256), nullable=False),
        sa.Column("profile", sa.String(length=256), nullable=False),
        sa.Column("kind", sa.String(length=256), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        sa.Column("opened", sa.Float(), nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.Column("updated", sa.Float(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("acknowledged_by", sa.String(length=256), nullable=True),
        sa.Column("acknowledged_time", sa.Float(), nullable=True),
        sa.Column("acknowledged_severity", sa.String(length=8), nullable=True),
        sa.Column("resolved_by", sa.String(length=256), nullable=True),
        sa.Column("resolved_time", sa.Float(), nullable=True),
        sa.Column("resolved_revision", sa.BigInteger(), nullable=True),
        sa.Column("label", sa.String(length=8), nullable=True),
        sa.Column("label_by", sa.String(length=256), nullable=True),
        sa.Column("label_time", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_alerts")),
        sa.UniqueConstraint("gateway", "alert", name=op.f("uq_alerts_gateway_alert")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_alerts_device_serial"), "alerts", ["device", "serial"], unique=False)
    op.create_index(op.f("ix_alerts_gateway_serial"), "alerts", ["gateway", "serial"], unique=False)
    op.create_index(op.f("ix_alerts_kind_serial"), "alerts", ["kind", "serial"], unique=False)
    op.create_index(op.f("ix_alerts_label_serial"), "alerts", ["label", "serial"], unique=False)
    op.create_index(op.f("ix_alerts_opened"), "alerts", ["opened"], unique=False)
    op.create_index(op.f("ix_alerts_profile_serial"), "alerts", ["profile", "serial"], unique=False)
    op.create_index(op.f("ix_alerts_severity_serial"), "alerts", ["severity", "serial"], unique=False)
    op.create_index(
        op.f("ix_alerts_state_acknowledged_severity_serial"),
        "alerts",
        ["state", "acknowledged", "severity", "serial"],
        unique=False,
    )
    op.create_table(
        "api_tokens",
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("last_used", sa.Float(), nullable=True),
        sa.Column("revoked", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_tokens_hash")),
        sa.UniqueConstraint("name", name=op.f("uq_api_tokens_name")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "gateways",
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("first_seen", sa.Float(), nullable=False),
        sa.Column("last_seen", sa.Float(), nullable=False),
        sa.Column("online", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("status_received", sa.Float(), nullable=True),
        sa.Column("rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unparsed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lost_rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_back", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_gateways")),
    )
    op.create_table(
        "ledgers",
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("priority", sa.String(length=256), nullable=False),
        sa.Column("epoch", sa.String(length=256), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("ranges", sa.Text(), nullable=False),
        sa.Column("updated", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "priority", "epoch", name=op.f("pk_ledgers")),
    )
    op.create_index(
        op.f("ix_ledgers_gateway_priority_updated"), "ledgers", ["gateway", "priority", "updated"], unique=False
    )
    op.create_table(
        "losses",
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("priority", sa.String(length=256), nullable=False),
        sa.Column("epoch", sa.String(length=256), nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "priority", "epoch", "first", "last", name=op.f("pk_losses")),
    )
    op.create_table(
        "reports",
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reports")),
    )
    op.create_index(op.f("ix_reports_gateway_number"), "reports", ["gateway", "number"], unique=False)
    op.create_table(
        "unparsed",
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("gateway", sa.String(length=256), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_unparsed")),
    )
    op.create_table(
        "alert_actions",
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("alert", sa.String(length=256), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=256), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("label", sa.String(length=8), nullable=True),
        sa.ForeignKeyConstraint(
            ["gateway", "alert"],
            ["alerts.gateway", "alerts.alert"],
            name=op.f("fk_alert_actions_gateway_alert_alerts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_alert_actions")),
    )
    op.create_index(
        op.f("ix_alert_actions_gateway_alert_number"), "alert_actions", ["gateway", "alert", "number"], unique=False
    )
    op.create_table(
        "alert_events",
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("alert", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["gateway", "alert"],
            ["alerts.gateway", "alerts.alert"],
            name=op.f("fk_alert_events_gateway_alert_alerts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("gateway", "alert", "revision", name=op.f("pk_alert_events")),
    )
