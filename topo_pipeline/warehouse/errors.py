"""What the warehouse raises: one sentence that tells a person what to do."""


class WarehouseError(Exception):
    """The warehouse can't be used as asked; nothing was written."""
