"""The order in which alerts change: who follows them asks for what has changed since they last looked.

Revision: 0011, after: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Number the changes of alerts; those that are there have not changed since."""
    op.add_column("alerts", sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(op.f("ix_alerts_changed"), "alerts", ["changed"])
