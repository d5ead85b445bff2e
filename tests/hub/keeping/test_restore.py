"""What comes back is what was saved, where nothing was; anything but a sound backup is refused and changes nothing."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.hub.keeping.filled import Place
from vedette_hub import state
from vedette_hub.keeping import archive
from vedette_hub.keeping.errors import KeepingError
from vedette_hub.keeping.restore import check
from vedette_hub.store import audit
from vedette_hub.store.audit import AuditFilter
from vedette_hub.store.database import open_store, reading

MEMBERS = ("backup.json", "signing-key", "api-token", "hub.db")


@pytest.fixture
def saved(place: Place, tmp_path: Path) -> Path:
    file = tmp_path / "hub.backup"
    told = place.run("backup", str(file))
    assert told.exit_code == 0, told.stderr
    return file


@pytest.fixture
def new(tmp_path: Path) -> Place:
    return Place(tmp_path / "new")


class Member(NamedTuple):
    name: str
    body: bytes
    kind: bytes = tarfile.REGTYPE


def unpack(file: Path) -> list[Member]:
    with tarfile.open(file) as opened:
        return [Member(one.name, opened.extractfile(one).read()) for one in opened]  # type: ignore[union-attr]  # files all


def pack(file: Path, members: list[Member]) -> Path:
    with tarfile.open(file, "w:gz", compresslevel=1) as made:
        for name, body, kind in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(body) if kind == tarfile.REGTYPE else 0
            entry.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            made.addfile(entry, io.BytesIO(body))
    return file


def nothing_is_there(new: Place) -> bool:
    return not new.state_dir.exists() or {path.name for path in new.state_dir.iterdir()} <= {"lock"}


def test_everything_comes_back_and_sessions_end(place: Place, saved: Path, new: Place) -> None:
    told = new.run("restore", str(saved))
    assert told.exit_code == 0, told.stderr
    without = ("sessions", "audit")
    assert new.rows(*without) == place.rows(*without)
    assert place.rows()["sessions"]
    assert new.rows()["sessions"] == []
    for name in ("signing-key", "api-token"):
        assert new.said(name) == place.said(name)
        assert stat.S_IMODE((new.state_dir / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((new.state_dir / "hub.db").stat().st_mode) == 0o600
    assert {path.name for path in new.state_dir.iterdir()} == {"lock", "hub.db", "signing-key", "api-token"}
    with reading(open_store(new.config.database_url)) as connection:
        (noted,) = audit.list_entries(connection, AuditFilter(action="hub.restore"), limit=10)
    assert (noted.entry.target, "39 alerts" in noted.entry.detail) == ("hub.backup", True)


def test_keys_that_were_replaced_come_back_too(place: Place, tmp_path: Path, new: Place) -> None:
    assert place.run("key", "rotate").exit_code == 0
    old = {path.name: path.read_text() for path in place.state_dir.glob("signing-key.*.old")}
    assert len(old) == 1
    assert place.run("backup", str(tmp_path / "hub.backup")).exit_code == 0
    assert new.run("restore", str(tmp_path / "hub.backup")).exit_code == 0
    assert {path.name: path.read_text() for path in new.state_dir.glob("signing-key.*.old")} == old


def test_a_check_reads_everything_and_puts_nothing_anywhere(saved: Path, new: Place) -> None:
    told = new.run("restore", "--check", str(saved))
    assert told.exit_code == 0, told.stderr
    assert "39 alerts" in told.stdout
    assert "It is sound." in told.stdout
    assert nothing_is_there(new)


def test_a_database_that_is_there_is_not_overwritten(place: Place, saved: Path) -> None:
    before = place.rows()
    told = place.run("restore", str(saved))
    assert told.exit_code == 1
    assert "there is a database already" in told.stderr
    assert place.rows() == before
    # The log of another database, left beside a new one, would be played into it.
    (place.state_dir / "hub.db").rename(place.folder / "old.db")
    (place.state_dir / "hub.db-wal").write_bytes(b"old")
    assert "hub.db-wal" in place.run("restore", str(saved)).stderr
    assert not (place.state_dir / "hub.db").exists()


def test_another_signing_key_is_not_overwritten_and_the_same_one_is_no_obstacle(saved: Path, new: Place) -> None:
    new.state_dir.mkdir()
    key = new.state_dir / "signing-key"
    key.write_text("another\n")
    told = new.run("restore", str(saved))
    assert told.exit_code == 1
    assert "signing-key: there is another one already" in told.stderr
    assert key.read_text() == "another\n"
    assert not (new.state_dir / "hub.db").exists()
    # As a restore leaves it that was interrupted: the database comes last.
    key.write_bytes(dict(member[:2] for member in unpack(saved))["signing-key"])
    assert new.run("restore", str(saved)).exit_code == 0
    assert len(new.rows()["alerts"]) == 39


def test_a_hub_that_serves_keeps_its_place(saved: Path, new: Place) -> None:
    state.prepare(new.state_dir)
    with state.lock(new.state_dir):
        told = new.run("restore", str(saved))
    assert told.exit_code == 1
    assert "another vedette-hub serves it" in told.stderr
    assert nothing_is_there(new)


def test_a_disk_without_room_is_said_before_anything_is_written(
    saved: Path, new: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))  # type: ignore[attr-defined]  # its own type
    told = new.run("restore", str(saved))
    assert told.exit_code == 1
    assert "are needed" in told.stderr
    assert nothing_is_there(new)


def test_a_flipped_bit_is_found_or_changes_nothing(saved: Path, tmp_path: Path) -> None:
    whole, contents = saved.read_bytes(), archive.read(saved)
    bent = tmp_path / "bent.backup"
    found = 0
    for place_ in [*range(12), *range(12, len(whole), max(1, len(whole) // 150)), *range(len(whole) - 12, len(whole))]:
        data = bytearray(whole)
        data[place_] ^= 1 << place_ % 8
        bent.write_bytes(data)
        try:
            assert archive.read(bent) == contents
        except KeepingError:
            found += 1
    assert found > 100  # some change nothing: how zeros are written, or the time in the header


def test_a_part_of_a_backup_is_refused_wherever_it_breaks_off(saved: Path, tmp_path: Path, new: Place) -> None:
    whole = saved.read_bytes()
    part = tmp_path / "part.backup"
    for length in [0, 1, 9, 100, *range(200, len(whole), max(1, len(whole) // 40)), len(whole) - 1]:
        part.write_bytes(whole[:length])
        with pytest.raises(KeepingError):
            archive.read(part)
    told = new.run("restore", str(part))
    assert told.exit_code == 1
    assert "only a part of a backup" in told.stderr
    assert nothing_is_there(new)


def edited(**changes: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda index: {**index, **changes}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edited(format="tarball"), "no backup of a vedette-hub"),
        (edited(format_version=2, version="9.1.0"), "a backup of vedette-hub 9.1.0, in a form that this version"),
        (edited(made="yesterday"), "damaged"),
        (edited(parts=[{"name": "../../etc/passwd", "bytes": 1, "sha256": ""}]), "belong to no hub"),
        (edited(parts=[{"name": "signing-key.x/../../y.old", "bytes": 1, "sha256": ""}]), "belong to no hub"),
        (edited(counts={"alerts": 1}), "does not hold what it says"),
        (edited(schema="0001"), "does not hold what it says"),
        (lambda index: {**index, "parts": index["parts"][1:]}, "damaged"),
        (lambda index: {**index, "parts": index["parts"][::-1]}, "damaged"),
        (lambda index: {**index, "parts": [*index["parts"], index["parts"][0]]}, "belong to no hub"),
    ],
)
def test_a_backup_that_says_what_is_not_so_is_refused(
    saved: Path, tmp_path: Path, new: Place, change: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    index, *others = unpack(saved)
    bent = pack(
        tmp_path / "bent.backup", [Member("backup.json", json.dumps(change(json.loads(index.body))).encode()), *others]
    )
    told = new.run("restore", str(bent))
    assert told.exit_code == 1
    assert said in told.stderr
    assert "Traceback" not in told.stderr
    assert nothing_is_there(new)


def test_files_that_are_no_backups_are_refused(saved: Path, tmp_path: Path, new: Place, place: Place) -> None:
    index, *others = unpack(saved)
    foreign = {
        "text": b"hello\n",
        "database": (place.state_dir / "hub.db").read_bytes(),
        "gzip": gzip.compress(b"hello " * 1_000),
        "other tar": pack(tmp_path / "x", [Member("etc/passwd", b"root")]).read_bytes(),
        "link": pack(tmp_path / "x", [Member("backup.json", b"", tarfile.SYMTYPE)]).read_bytes(),
        "link inside": pack(
            tmp_path / "x", [index, Member("signing-key", b"", tarfile.SYMTYPE), *others[1:]]
        ).read_bytes(),
        "changed": pack(
            tmp_path / "x", [index, Member(others[0].name, bytes(reversed(others[0].body))), *others[1:]]
        ).read_bytes(),
        "more": pack(tmp_path / "x", [index, *others, Member("more", b"")]).read_bytes(),
        "large index": pack(tmp_path / "x", [Member("backup.json", b" " * 70_000)]).read_bytes(),
        "list": pack(tmp_path / "x", [Member("backup.json", b"[]")]).read_bytes(),
        "deep": pack(tmp_path / "x", [Member("backup.json", b"[" * 50_000)]).read_bytes(),
    }
    for name, body in foreign.items():
        file = tmp_path / "foreign"
        file.write_bytes(body)
        told = new.run("restore", str(file))
        assert told.exit_code == 1, name
        assert str(file) in told.stderr, name
        assert "Traceback" not in told.stderr, name
    assert "there is no such file" in new.run("restore", str(tmp_path / "none")).stderr
    assert "a folder" in new.run("restore", str(tmp_path)).stderr
    assert nothing_is_there(new)


def test_a_backup_of_a_newer_hub_is_refused_and_says_so(place: Place, tmp_path: Path, new: Place) -> None:
    with sqlite3.connect(place.state_dir / "hub.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert place.run("backup", str(tmp_path / "hub.backup")).exit_code == 0
    told = new.run("restore", str(tmp_path / "hub.backup"))
    assert told.exit_code == 1
    assert "newer than this version knows" in told.stderr
    assert nothing_is_there(new)
    with pytest.raises(KeepingError, match="install that version"):
        check(tmp_path / "hub.backup")


def test_a_database_and_a_server_are_not_mistaken_for_each_other(saved: Path, place: Place, new: Place) -> None:
    server = '[hub]\nstate_dir = "state"\n[database]\nurl = "postgresql+psycopg://db/hub"\n'
    new.path.write_text(server)
    assert "pg_restore" in new.run("restore", str(saved)).stderr
    place.path.write_text(server)
    keys = saved.with_name("keys.backup")
    assert place.run("backup", str(keys), "--without-database").exit_code == 0
    assert new.run("restore", str(keys)).exit_code == 0
    assert new.said("signing-key") == place.said("signing-key")
    assert not (new.state_dir / "hub.db").exists()
    other = Place(new.folder.with_name("other"))
    assert "holds no database" in other.run("restore", str(keys)).stderr
