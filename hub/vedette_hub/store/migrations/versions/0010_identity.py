"""Identity: users, their sessions, what a token may, the audit log, and keys of writes that may come twice.

Revision: 0010, after: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0005"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables; a token that is there goes on doing what it could do so far, which is an approver's work."""
    op.add_column("api_tokens", sa.Column("role", sa.String(length=16), server_default="approver", nullable=False))
    op.add_column("api_tokens", sa.Column("scopes", sa.Text(), nullable=True))
    op.add_column("api_tokens", sa.Column("expires", sa.Float(), nullable=True))
    op.add_column("api_tokens", sa.Column("by", sa.String(length=256), server_default="", nullable=False))
    op.create_table(
        "users",
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("password", sa.String(length=256), nullable=False),
        sa.Column("password_due", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("password_set", sa.Float(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("last_sign_in", sa.Float(), nullable=True),
        sa.Column("disabled", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("user", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.number"], name=op.f("fk_sessions_user_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_user_created"), "sessions", ["user", "created"], unique=False)
    op.create_index(op.f("ix_sessions_expires"), "sessions", ["expires"], unique=False)
    op.create_table(
        "audit",
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=256), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_by_number"), "audit", ["by", "number"], unique=False)
    op.create_index(op.f("ix_audit_action_number"), "audit", ["action", "number"], unique=False)
    op.create_index(op.f("ix_audit_outcome_number"), "audit", ["outcome", "number"], unique=False)
    op.create_index(op.f("ix_audit_time"), "audit", ["time"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created"), "idempotency_keys", ["created"], unique=False)
