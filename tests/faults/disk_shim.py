"""A shim between SQLite and the system's files: it tells what is written, and can make the disk full or faulty.

It is registered with the very SQLite library that Python's own `sqlite3` uses, as its default "virtual file system", so
that the code under test runs unchanged. ctypes is enough: a compiler, `LD_PRELOAD`, strace or FUSE are not to be had on
every machine, and apsw would bring another build of SQLite than the one that gateways run.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast
from typing import Any, Protocol

OK, FULL, IOERR_WRITE, IOERR_FSYNC, IOERR_READ, READONLY = 0, 13, 778, 1034, 266, 8
_CREATE, _DELETE_ON_CLOSE = 0x4, 0x8
_JOURNALS = 0x800 | 0x80000
"""SQLite makes the directory entry of these durable with their first sync, and so do we."""


class Listener(Protocol):
    """Told of every change of a file; what it returns is what SQLite gets, `OK` to let it happen."""

    def opened(self, path: str, new: bool) -> int: ...
    def write(self, path: str, offset: int, data: bytes) -> int: ...
    def truncate(self, path: str, size: int) -> int: ...
    def sync(self, path: str, folder: bool) -> int: ...
    def delete(self, path: str, folder: bool) -> int: ...


class Passing:
    """Lets everything happen."""

    def opened(self, path: str, new: bool) -> int:
        return OK

    def write(self, path: str, offset: int, data: bytes) -> int:
        return OK

    def truncate(self, path: str, size: int) -> int:
        return OK

    def sync(self, path: str, folder: bool) -> int:
        return OK

    def delete(self, path: str, folder: bool) -> int:
        return OK


# SQLite keeps the pointer to a name, and looks behind it: it must be handed on as it is.
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_Access = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, POINTER(c_int))
_Close = CFUNCTYPE(c_int, c_void_p)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    """`struct sqlite3_vfs`; what is not changed is copied as it is."""

    _fields_ = [
        ("version", c_int), ("file_bytes", c_int), ("longest_path", c_int), ("next", c_void_p), ("name", c_char_p),
        ("data", c_void_p), ("open", _Open), ("delete", _Delete), ("access", _Access), ("rest", c_void_p * 12),
    ]  # fmt: skip


class _Methods(Structure):
    """`struct sqlite3_io_methods`."""

    _fields_ = [
        ("version", c_int), ("close", _Close), ("read", c_void_p), ("write", _Write), ("truncate", _Truncate),
        ("sync", _Sync), ("rest", c_void_p * 13),
    ]  # fmt: skip


class _File(Structure):
    _fields_ = [("methods", POINTER(_Methods))]


class Shim:
    """The default files of SQLite in this process, while it is installed."""

    def __init__(self, listener: Listener) -> None:
        import _sqlite3

        # Where SQLite is part of the interpreter, or hidden in it, there is no such symbol: an AttributeError.
        self._library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        self._library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        self._library.sqlite3_vfs_find.argtypes = [c_char_p]
        self._library.sqlite3_vfs_register.argtypes = [POINTER(_Vfs), c_int]
        self._library.sqlite3_vfs_unregister.argtypes = [POINTER(_Vfs)]
        self.listener = listener
        self._real = self._library.sqlite3_vfs_find(None)
        self._vfs = _Vfs()
        ctypes.pointer(self._vfs)[0] = self._real.contents
        self._vfs.name = b"shim"
        self._vfs.open, self._vfs.delete = _Open(self._open), _Delete(self._delete)
        self._methods: dict[int, tuple[_Methods, _Methods]] = {}
        """By the address of the real ones: those, and ours."""
        self._files: dict[int, tuple[str, bool, _Methods]] = {}
        """By address: path, whether its directory entry is still to be synced, the real methods."""

    def __enter__(self) -> Shim:
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._library.sqlite3_vfs_register(self._real, 1)

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: Any) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        exists, new = c_int(0), False
        if path:
            self._real.contents.access(vfs, name, 0, ctypes.byref(exists))
            new = not exists.value and bool(flags & _CREATE)
            if result := self.listener.opened(path, new):
                cast(file, POINTER(c_void_p))[0] = None  # no methods: SQLite does not close it
                return result
        result = int(self._real.contents.open(vfs, name, file, flags, out))
        real = cast(file, POINTER(_File)).contents
        if result == OK and path and not flags & _DELETE_ON_CLOSE:
            address = ctypes.addressof(real.methods.contents)
            if address not in self._methods:
                self._methods[address] = real.methods.contents, self._wrap(real.methods.contents)
            original, ours = self._methods[address]
            self._files[file] = path, new and bool(flags & _JOURNALS), original
            real.methods = ctypes.pointer(ours)
        return result

    def _wrap(self, real: _Methods) -> _Methods:
        ours = _Methods()
        ctypes.pointer(ours)[0] = real
        ours.close, ours.write = _Close(self._close), _Write(self._write)
        ours.truncate, ours.sync = _Truncate(self._truncate), _Sync(self._sync)
        return ours

    def _close(self, file: int) -> int:
        return int(self._files.pop(file)[2].close(file))

    def _write(self, file: int, data: int, size: int, offset: int) -> int:
        path, _, real = self._files[file]
        return self.listener.write(path, offset, ctypes.string_at(data, size)) or int(
            real.write(file, data, size, offset)
        )

    def _truncate(self, file: int, size: int) -> int:
        path, _, real = self._files[file]
        return self.listener.truncate(path, size) or int(real.truncate(file, size))

    def _sync(self, file: int, flags: int) -> int:
        path, folder, real = self._files[file]
        result = self.listener.sync(path, folder) or int(real.sync(file, flags))
        if result == OK:
            self._files[file] = path, False, real
        return result

    def _delete(self, vfs: int, name: bytes, folder: int) -> int:
        result = int(self._real.contents.delete(vfs, name, folder))
        return self.listener.delete(name.decode(), bool(folder)) if result == OK else result


@contextmanager
def installed(listener: Listener) -> Iterator[Shim]:
    """SQLite's files go through the listener; connections must be opened and closed within."""
    with Shim(listener) as shim:
        yield shim


def unavailable() -> str:
    """Why there can be no shim in this Python; empty where there can."""
    try:
        Shim(Passing())
    except (AttributeError, ImportError, OSError) as error:
        return f"this Python does not show the SQLite library it uses ({error}): its files cannot be watched"
    return ""
