"""Key statements: how gateways come to follow another signing key.

Revision: 0005, after: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "key_statements",
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("made", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_key_statements")),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("key_statements")
