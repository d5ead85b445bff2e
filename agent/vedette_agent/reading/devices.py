"""DeviceTable: which row of the columnar state belongs to which device."""

from __future__ import annotations


class DeviceTable:
    """Rows for at most `limit` devices of one profile; a forgotten device's row is given to the next new one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rows: dict[str, int] = {}
        self._names: list[str | None] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        """Devices known now."""
        return len(self._rows)

    @property
    def rows(self) -> int:
        """Rows in use or free: state arrays need at least so many."""
        return len(self._names)

    def find(self, name: str) -> int | None:
        """The row of a known device."""
        return self._rows.get(name)

    def row(self, name: str) -> int | None:
        """The row of a device, new if need be; None when the table is full."""
        found = self._rows.get(name)
        if found is not None:
            return found
        if self._free:
            found = self._free.pop()
            self._names[found] = name
        elif len(self._names) < self.limit:
            found = len(self._names)
            self._names.append(name)
        else:
            return None
        self._rows[name] = found
        return found

    def name(self, row: int) -> str:
        """The device of a row in use."""
        name = self._names[row]
        if name is None:
            raise KeyError(f"row {row} belongs to no device")
        return name

    def forget(self, name: str) -> int | None:
        """Free a device's row and return it, for its state to be cleared; None when the device is not known."""
        row = self._rows.pop(name, None)
        if row is not None:
            self._names[row] = None
            self._free.append(row)
        return row

    def names(self) -> list[str | None]:
        """Device of every row, None where free."""
        return list(self._names)

    @classmethod
    def of(cls, limit: int, names: list[str | None]) -> DeviceTable:
        """A table with these rows, as `names` returned them."""
        table = cls(limit)
        table._names = list(names)
        table._rows = {name: row for row, name in enumerate(names) if name is not None}
        table._free = [row for row, name in enumerate(names) if name is None]
        return table
