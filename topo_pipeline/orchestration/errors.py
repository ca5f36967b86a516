"""The errors of driving Dagster from the command line. Free of Dagster, so that a command can name them quickly."""


class HomeUnusable(Exception):
    """Dagster's home can't be used.

    Attributes:
        found: a sentence with the file and the reason.
        do: a sentence that says what to do.
    """

    def __init__(self, found: str, do: str) -> None:
        super().__init__(f"{found} {do}")
        self.found, self.do = found, do


class UnderWay(Exception):
    """The operation can't be done while a run is in progress."""


class AlreadyReading(UnderWay):
    """Another run is reading Topo, and each key has one reader at a time."""
