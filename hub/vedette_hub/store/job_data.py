"""What a job works on, where it was sent along with the request: kept as long as the job waits or runs."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from vedette_hub.store.schema import job_data, jobs


def keep(connection: Connection, number: int, body: bytes) -> None:
    """Keep the data of a job, in the transaction that queues it."""
    connection.execute(insert(job_data).values(number=number, body=body))


def read(connection: Connection, number: int) -> bytes | None:
    """The data of a job; None when it has none, or has ended."""
    return connection.execute(select(job_data.c.body).where(job_data.c.number == number)).scalar()


def drop_unneeded(connection: Connection) -> None:
    """Delete the data of jobs that neither wait nor run."""
    needed = select(jobs.c.number).where(jobs.c.state.in_(["queued", "running"]))
    connection.execute(delete(job_data).where(job_data.c.number.not_in(needed)))
