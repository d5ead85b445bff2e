"""What people do about alerts: assignees, silences, maintenance windows, and rules for their severity.

Revision: 0012, after: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FACETS = ("serial", "opened", "severity", "state", "acknowledged", "label",
           "kind", "profile", "detector", "assignee", "gateway", "device")  # fmt: skip


def upgrade() -> None:
    """Add the columns and tables; which detector raised an alert that is there is read from its event."""
    for column in (
        sa.Column("assignee", sa.String(256), nullable=True),
        sa.Column("assigned_by", sa.String(256), nullable=True),
        sa.Column("assigned_time", sa.Float(), nullable=True),
        sa.Column("detector", sa.String(256), server_default="", nullable=False),
        sa.Column("rule", sa.String(256), nullable=True),
    ):
        op.add_column("alerts", column)
    op.create_index(op.f("ix_alerts_assignee_serial"), "alerts", ["assignee", "serial"])
    postgresql = op.get_bind().dialect.name == "postgresql"
    named = "event::json ->> 'detector'" if postgresql else "json_extract(event, '$.detector')"
    op.execute(f"UPDATE alerts SET detector = substr(coalesce({named}, ''), 1, 256)")  # noqa: S608  # two constants
    if not postgresql:
        op.create_index("ix_alerts_facets", "alerts", list(_FACETS))
    op.add_column("alert_actions", sa.Column("assignee", sa.String(256), nullable=True))
    op.create_table(
        "silences",
        sa.Column("number", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False),
        sa.Column("start", sa.Float(), nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("ended_by", sa.String(256), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_silences")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_silences_end"), "silences", ["end"])
    op.create_table(
        "maintenance_windows",
        sa.Column("number", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False),
        sa.Column("start", sa.Float(), nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("weekly", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("until", sa.Float(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_maintenance_windows")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "severity_rules",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False),
        sa.Column("score_at_least", sa.Float(), nullable=True),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("changed", sa.Float(), nullable=False),
        sa.Column("changed_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_severity_rules")),
    )
    op.create_index(op.f("ix_severity_rules_place"), "severity_rules", ["place"])
