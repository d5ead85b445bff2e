"""Reports: plots of versions, and samples that were sent because of an alert.

Revision: 0004, after: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table of plots, and say of samples whether they are suspect."""
    op.add_column("samples", sa.Column("suspect", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "plots",
        sa.Column("profile", sa.String(length=256), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["profile", "version"],
            ["models.profile", "models.version"],
            name=op.f("fk_plots_profile_version_models"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("profile", "version", "name", name=op.f("pk_plots")),
    )
