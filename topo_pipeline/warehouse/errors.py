"""What the warehouse raises: one sentence that tells a person what to do."""


class WarehouseError(Exception):
    """The warehouse can't be used as asked; nothing was written."""


class WarehouseInUse(WarehouseError):
    """Another program held the file for as long as anybody waited."""

    def __init__(self, sentence: str, *, process: int | None) -> None:
        super().__init__(sentence)
        self.process = process
        """Its number on this machine, where DuckDB could tell."""


class OlderWarehouse(WarehouseError):
    """It only wants to be written to once by this version."""


class ShrinkingDay(WarehouseError):
    """A reload would remove so much of a day that a person has to allow it."""


class NotCompacted(WarehouseError):
    """What was to be deleted is deleted, but its bytes may still be in the warehouse's files."""
