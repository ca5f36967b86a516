"""The kept reports: the last one of each day, next to the newest, with the facts that the next reports compare with.

They hold sequence names and numbers, and no personal data. Facts stay as they were said; the tables may have changed.
"""

import re
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from topo_pipeline.warehouse.files import remove_unused, replacing

FOLDER = "reports"
KEPT = 53  # a year of Mondays and one
# Reports of the same week say nearly the same, so each is compared with one that is at least this much older.
APART = timedelta(days=5)
_NAME = re.compile(r"engagement_report_(\d{4}-\d\d-\d\d)\.(html|json)")
_FORMAT = 1
_MAX_BYTES = 5_000_000


class Counts(msgspec.Struct, frozen=True):
    """Counts of all sequences over some days."""

    sent: int = 0
    touched: int = 0
    replies: int = 0
    positive: int = 0
    meetings: int = 0


class FinalWeek(msgspec.Struct, frozen=True):
    """The final rate of a week, which can only change if replies are classified or read late."""

    monday: date
    replied: int
    contacts: Annotated[int, msgspec.Meta(gt=0)]


class SaidFinding(msgspec.Struct, frozen=True):
    """A finding as the report said it."""

    kind: str
    sequence_id: str | None
    claim: str


class SequenceFacts(msgspec.Struct, frozen=True):
    """What the report said of a sequence: its rank and final rate with range, and the words in its column Change."""

    name: str
    rank: int | None
    rate: float | None
    low: float | None
    high: float | None
    change: str


class Facts(msgspec.Struct, frozen=True):
    """What a report said.

    Attributes:
        written: The day on which it was written, in the reporting zone.
        first_day: The first landed day. None without one.
        as_of: The last day that its rates cover. None if no day was over yet.
        rules: Identifies the rules of its tables. Rates and findings by other rules can't be compared.
        counts: From `first_day` to `as_of`.
        final: The last final rate of all sequences together, if there was one.
        findings: Its findings, the most important first.
        sequences: Its sequences by their ids.
    """

    written: date
    first_day: date | None
    as_of: date | None
    rules: str
    counts: Counts
    final: FinalWeek | None
    findings: tuple[SaidFinding, ...]
    sequences: dict[str, SequenceFacts]
    format: int = _FORMAT


def keep(folder: Path, html: str, facts: Facts) -> Path:
    """Keep a report in `reports` below `folder`, in place of an earlier one of the same day. Return its page.

    The oldest are removed if there are more than `KEPT`. Other files in the folder are left alone.

    Raises:
        OSError: The folder can't be written.
        WarehouseError: One of the files exists and is not a regular file.
    """
    kept = folder / FOLDER
    kept.mkdir(parents=True, exist_ok=True)
    remove_unused(kept, "writing")  # each day's files have other names, so writing them would not find what is left
    page = kept / f"engagement_report_{facts.written}.html"
    said = msgspec.json.format(msgspec.json.encode(facts)).decode()
    for path, content in ((page.with_suffix(".json"), said), (page, html)):
        with replacing(path) as new:
            new.write_text(content, encoding="utf-8")
    found = _kept(kept)
    for day in sorted(found, reverse=True)[KEPT:]:
        for path in found[day]:
            path.unlink(missing_ok=True)
    return page


def earlier(folder: Path, written: date) -> tuple[Facts | None, list[str]]:
    """Return the facts of the newest kept report that is at least `APART` older, and the names of unreadable ones.

    A file that can't be read, or that another version wrote, is left out, and the one before it is used.
    """
    found = _kept(folder / FOLDER)
    unreadable: list[str] = []
    for day in sorted((day for day in found if day <= written - APART), reverse=True):
        for path in found[day]:
            if path.suffix != ".json":
                continue
            with suppress(OSError, msgspec.MsgspecError, ValueError, RecursionError):
                with path.open("rb") as file:
                    facts = msgspec.json.decode(file.read(_MAX_BYTES), type=Facts)
                if facts.format == _FORMAT and facts.written == day:
                    return facts, unreadable
            unreadable.append(path.name)
    return None, unreadable


def _kept(folder: Path) -> dict[date, list[Path]]:
    """Return our files by the day in their names."""
    found: dict[date, list[Path]] = {}
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            name = _NAME.fullmatch(path.name)
            with suppress(ValueError):
                if name and path.is_file() and not path.is_symlink():
                    found.setdefault(date.fromisoformat(name[1]), []).append(path)
    return found
