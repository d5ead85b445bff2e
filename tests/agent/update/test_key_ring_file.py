"""The key ring is read again when it has changed, and what cannot be used changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from nacl.signing import SigningKey

from vedette_agent.update.key_ring_file import KeyRingFile
from vedette_models.keys import KeyFileError, public_line

ONE, TWO = (SigningKey(bytes([n]) * 32).verify_key for n in (1, 2))


def test_a_line_that_is_added_counts(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(public_line(ONE))
    file = KeyRingFile(path)
    assert not file.changed()
    path.write_text(public_line(ONE) + public_line(TWO))
    assert file.changed()
    assert len(file.keys) == 2
    assert not file.changed(), "said once"


def test_a_file_that_is_replaced_counts_also_when_it_is_as_long(tmp_path: Path) -> None:
    path, other = tmp_path / "keys", tmp_path / "other"
    path.write_text(public_line(ONE))
    file = KeyRingFile(path)
    other.write_text(public_line(TWO))
    other.replace(path)
    assert file.changed()
    assert [bytes(key) for key in file.keys.values()] == [bytes(TWO)]


@pytest.mark.parametrize("content", [b"", b"vedette-public 0000000000000000 ????\n", b"\xff\xfe", None])
def test_what_cannot_be_used_leaves_the_keys_and_is_said(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys"
    path.write_text(public_line(ONE))
    file = KeyRingFile(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert not file.changed()
    assert len(file.keys) == 1
    assert file.problem is not None
    assert "read last" in file.problem
    path.write_text(public_line(TWO))
    assert file.changed()
    assert file.problem is None


def test_a_file_without_keys_is_no_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# nothing\n")
    with pytest.raises(KeyFileError):
        KeyRingFile(path)


def test_a_remark_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(public_line(ONE))
    file = KeyRingFile(path)
    path.write_text(public_line(ONE, "since 2026"))
    assert not file.changed()
