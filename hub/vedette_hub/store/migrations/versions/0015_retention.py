"""What people have set of how much is kept, beside what the configuration says.

Revision: 0015, after: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "retention_limits",
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(256), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_retention_limits")),
    )
