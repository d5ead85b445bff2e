"""Rollout: groups of gateways, what each should run, the manifests that say so, and what became of them.

Revision: 0003, after: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables, and give gateways a group."""
    op.add_column("gateways", sa.Column("group", sa.String(length=256), server_default="", nullable=False))
    op.create_index(op.f("ix_gateways_group"), "gateways", ["group"], unique=False)
    op.create_table(
        "desired",
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("profile", sa.String(length=256), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("previous_version", sa.Integer(), nullable=True),
        sa.Column("previous_sha256", sa.String(length=64), nullable=True),
        sa.Column("ordered", sa.Float(), nullable=False),
        sa.Column("by", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "profile", name=op.f("pk_desired")),
    )
    op.create_index(op.f("ix_desired_profile_gateway"), "desired", ["profile", "gateway"], unique=False)
    op.create_index(op.f("ix_desired_sha256"), "desired", ["sha256"], unique=False)
    op.create_index(op.f("ix_desired_previous_sha256"), "desired", ["previous_sha256"], unique=False)
    op.create_table(
        "manifests",
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("nonce", sa.String(length=256), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("issued", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("due", sa.String(length=8), nullable=False),
        sa.Column("published", sa.Float(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_manifests")),
    )
    op.create_index(op.f("ix_manifests_due_gateway"), "manifests", ["due", "gateway"], unique=False)
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("due", sa.String(length=8), nullable=False),
        sa.Column("published", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "activations",
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("gateway", sa.String(length=256), nullable=False),
        sa.Column("profile", sa.String(length=256), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=256), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("received", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_activations")),
    )
    op.create_index(
        op.f("ix_activations_gateway_profile_number"), "activations", ["gateway", "profile", "number"], unique=False
    )
