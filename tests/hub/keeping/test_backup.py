"""A backup holds one moment of a hub that goes on, is its owner's alone, and is never written over anything."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from tests.hub.keeping.filled import Place
from vedette_hub.keeping import archive, backup, database_copy
from vedette_hub.keeping.errors import KeepingError
from vedette_hub.store import audit
from vedette_hub.store.audit import AuditFilter, Entry
from vedette_hub.store.database import open_store, reading, writing
from vedette_hub.store.fleet import count_up


def test_a_backup_says_what_it_holds_and_is_its_owners_alone(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "hub.backup"
    told = place.run("backup", str(file))
    assert told.exit_code == 0, told.stderr
    assert "39 alerts, 1 models, 1 users" in told.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    contents = archive.read(file)
    assert contents.counts["alerts"] == 39
    assert {part.name for part in contents.parts} == {"hub.db", "signing-key", "api-token"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", "hub.backup"]
    with reading(open_store(place.config.database_url)) as connection:
        (noted,) = audit.list_entries(connection, AuditFilter(action="hub.backup"), limit=10)
    assert noted.entry.target == "hub.backup"


def test_nothing_is_ever_overwritten(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "hub.backup"
    file.write_text("mine")
    told = place.run("backup", str(file))
    assert told.exit_code == 1
    assert "there is a file already" in told.stderr
    assert file.read_text() == "mine"


def test_a_backup_that_cannot_be_made_leaves_no_file(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "hub.backup"
    (place.state_dir / "signing-key").write_text("garbage\n")
    assert "worth nothing" in place.run("backup", str(file)).stderr
    assert not file.exists()
    (place.state_dir / "signing-key").unlink()
    with sqlite3.connect(place.state_dir / "hub.db") as database:
        database.execute("UPDATE models SET artefact = x'00'")
    told = place.run("backup", str(file))
    assert "model pump version 1 is not what its hash says" in told.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub"]
    assert "No such file" in place.run("backup", str(tmp_path / "nowhere" / "hub.backup")).stderr


def test_a_damaged_database_is_said_and_not_kept_as_a_backup(place: Place, tmp_path: Path) -> None:
    path = place.state_dir / "hub.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = bytearray(path.read_bytes())
    pages[len(pages) // 2 :] = bytes(len(pages) - len(pages) // 2)
    path.write_bytes(pages)
    told = place.run("backup", str(tmp_path / "hub.backup"))
    assert told.exit_code == 1
    assert "damaged" in told.stderr
    assert not (tmp_path / "hub.backup").exists()


def test_a_folder_gets_files_by_time_of_which_the_newest_are_kept(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "notes.backup").write_text("not ours")
    for now in (1e9, 2e9, 3e9):
        monkeypatch.setattr("time.time", lambda now=now: now)
        told = place.run("backup", str(folder), "--keep", "2", "--json")
        assert told.exit_code == 0, told.stderr
        assert Path(json.loads(told.stdout)["file"]).exists()
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["notes.backup", "vedette-hub-20330518T033320Z.backup", "vedette-hub-20650124T052000Z.backup"]
    assert place.run("backup", str(tmp_path / "one.backup"), "--keep", "2").exit_code == 2


def test_a_database_on_a_server_is_left_to_its_own_tools(place: Place, tmp_path: Path) -> None:
    place.path.write_text('[hub]\nstate_dir = "state"\n[database]\nurl = "postgresql+psycopg://me:secret@db/hub"\n')
    file = tmp_path / "hub.backup"
    told = place.run("backup", str(file))
    assert told.exit_code == 1
    assert "pg_dump --format=custom" in told.stderr
    assert "secret" not in told.stderr
    assert not file.exists()
    told = place.run("backup", str(file), "--without-database")
    assert told.exit_code == 0, told.stderr
    assert "The database is not in it" in told.stderr
    assert {part.name for part in archive.read(file).parts} == {"signing-key", "api-token"}


def test_a_backup_is_one_moment_while_others_write_and_holds_up_none_of_them(place: Place, tmp_path: Path) -> None:
    engine = open_store(place.config.database_url)
    written, stop = 0, threading.Event()

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            with writing(engine) as connection:
                audit.note(connection, Entry(1.0, "ana", "", "pair.write", "x" * 1_000))
                count_up(connection, {"pairs": 1})
            written += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(4):
            before = written
            file = tmp_path / f"{number}.backup"
            backup.back_up(place.config, file, 1.0)
            with (tmp_path / f"{number}.db").open("wb") as database:
                archive.read(file, lambda part, to=database: to if part.name == "hub.db" else None)
            assert written > before
    finally:
        stop.set()
        thread.join()
    for number in range(4):
        with reading(open_store(f"sqlite:///{tmp_path / f'{number}.db'}")) as connection:
            entries = audit.count_entries(connection, AuditFilter(action="pair.write"))
            counted = connection.exec_driver_sql("SELECT value FROM counters WHERE name = 'pairs'").scalar()
        assert entries == (counted or 0)


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(KeepingError, match="there is no database"):
        database_copy.copy(tmp_path / "hub.db", tmp_path / "copy.db")
    assert not (tmp_path / "hub.db").exists()
