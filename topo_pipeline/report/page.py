"""The report: one HTML file that opens from disk, asks nothing of anybody, and replaces the one before it at once."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from topo_pipeline.engagement.rules import Rules

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FILE_NAME = "engagement_report.html"


@dataclass(frozen=True)
class Published:
    """A report as written.

    Attributes:
        path: the file.
        size: in bytes.
        as_of: the last day that its rates know; None where no day is complete.
        sequences: how many it shows.
    """

    path: Path
    size: int
    as_of: date | None
    sequences: int


def publish(connection: "DuckDBPyConnection", folder: Path, *, timezone: str, rules: Rules, now: datetime) -> Published:
    """Write the report of what the tables hold now into `folder`, as `engagement_report.html`.

    Args:
        connection: one of `Warehouse.reader()`; the tables may be empty, or not be there.
        folder: made where it is missing.
        timezone: the reporting zone (IANA).
        rules: the rules that the tables were made by.
        now: said to be when the report was written.

    Raises:
        OSError: the folder can't be written.
    """
    raise NotImplementedError
