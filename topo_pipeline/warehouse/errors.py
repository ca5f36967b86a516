"""Errors of the warehouse. Each message says what happened and what to do."""


class WarehouseError(Exception):
    """The warehouse can't be used as requested. Nothing was written."""


class WarehouseInUse(WarehouseError):
    """Another process or connection held the file for longer than the caller waits."""

    def __init__(self, sentence: str, *, process: int | None) -> None:
        super().__init__(sentence)
        self.process = process
        """The id of that process; None if DuckDB or the system did not report it."""


class OlderWarehouse(WarehouseError):
    """An older version wrote the warehouse. The next write by this version updates it."""


class WriteConflict(WarehouseError):
    """Another process has committed to a lake at the same time, although the lock should have kept it out."""


class ShrinkingDay(WarehouseError):
    """A reload would remove more rows of a day than is allowed without the user's consent."""


class NotCompacted(WarehouseError):
    """The rows or texts are deleted, but their bytes may still be in the warehouse's files."""
