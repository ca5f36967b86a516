"""What the warehouse raises: one sentence that tells a person what to do."""


class WarehouseError(Exception):
    """The warehouse can't be used as asked; nothing was written."""


class Taken(WarehouseError):
    """Another process has the warehouse, and did not let go of it while we waited."""


class ShrinkingDay(WarehouseError):
    """A reload would take away so much of a day that a person has to say that it is meant."""


class NotCompacted(WarehouseError):
    """What was to be deleted is deleted, but its bytes may still be in the warehouse's files."""
