"""All metric tables over ten million activities: from nothing, and again after one more day.

Run as `python -m bench.engagement_tables`. Each build is a process of its own, so that its memory is its own.
The activities are made in SQL, without payloads: no table reads them. A history is cut out of a workspace that has long
been running, so that a day is as full in a short one as in a long one: what is compared is the history, not the day.
"""

import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from bench.pairs import measure, peak_megabytes
from topo_pipeline.engagement.tables import build, in_order
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.workspace import keep_to_timezone

DAYS = 365
RUNS_A_DAY = 2_740
LASTS = 17  # days, from a run's enrolment to its end
SEQUENCES = 300
FIRST_DAY = date(2025, 1, 1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)

# What a run leaves: kind, type, channel, the message it is about, hours after the enrolment, in how many runs of 100.
_MAKE = """
INSERT INTO topo.activities BY NAME
WITH kinds (kind, type, channel, message, after_hours, share) AS (VALUES
    (0, 'sequence.created', NULL, NULL, 0.0, 100), (1, 'message.sent', 'EMAIL', 1, 1.0, 100),
    (2, 'message.opened', 'EMAIL', 1, 5.5, 70), (3, 'message.opened', 'EMAIL', 1, 30.2, 60),
    (4, 'invitation.sent', 'LINKEDIN', NULL, 49.0, 90), (5, 'invitation.accepted', 'LINKEDIN', NULL, 80.7, 30),
    (6, 'message.sent', 'EMAIL', 6, 97.3, 100), (7, 'message.opened', 'EMAIL', 6, 97.301, 80),
    (8, 'message.link_clicked', 'EMAIL', 6, 99.1, 30), (9, 'message.sent', 'LINKEDIN', 9, 168.0, 100),
    (10, 'message.replied', 'EMAIL', 6, 171.4, 20), (11, 'message.sent', 'EMAIL', 11, 240.5, 100),
    (12, 'sequence_step.completed', NULL, NULL, 241.0, 100), (13, 'task.created', 'MANUAL', NULL, 260.0, 10),
    (14, 'task.completed', 'MANUAL', NULL, 300.0, 8), (15, 'meeting.created', NULL, NULL, 305.0, 2),
    (16, 'sequence.completed', NULL, NULL, 400.0, 100)
), events AS (
    SELECT
        run, kind, type, channel, message,
        $first_day::TIMESTAMP AT TIME ZONE 'UTC'
            + to_seconds((hash(run) % ($days::BIGINT * 86400))::BIGINT + (after_hours * 3600)::BIGINT) AS created_at
    FROM range($runs::BIGINT) AS runs (run), kinds
    WHERE hash(run, kind) % 100 < share
)
SELECT
    md5(format('{}/{}', run, kind))::UUID AS id, created_at, created_at::DATE AS day, type,
    md5(format('person {}', run))::UUID AS person_id, md5(format('run {}', run))::UUID AS sequence_id,
    md5(format('template {}', run % $sequences))::UUID AS sequence_template_id,
    CASE WHEN message IS NOT NULL THEN format('{}-{}', run, message) END AS message_id,
    CASE WHEN type LIKE 'task.%' THEN format('task {}', run) END AS task_id,
    upper(split_part(type, '.', 1)) AS resource_type, upper(split_part(type, '.', 2)) AS event_type,
    channel, 'payload' AS channel_source, CASE WHEN type LIKE '%.sent' THEN kind END AS step_number,
    CASE WHEN type = 'message.replied' THEN
        ['INTERESTED', 'NOT_INTERESTED', 'OUT_OF_OFFICE', NULL][(1 + hash(run) % 4)::INTEGER] END AS reply_category,
    '{}' AS payload, $now::TIMESTAMPTZ AS landed_at, md5(format('load {}', created_at::DATE))::UUID AS load_id
FROM events
WHERE created_at::DATE BETWEEN $from_day AND $to_day
ORDER BY created_at
"""
_NOTE = """
INSERT INTO topo.loads
SELECT
    day, load_id, 'bench', min(created_at), max(created_at), false, true, count(*), count(*), count(*), 0, 0, 1, 0,
    $now, $now, 0
FROM topo.activities
WHERE day BETWEEN $from_day AND $to_day
GROUP BY day, load_id
"""


def land(warehouse: Warehouse, days: int, from_day: date, to_day: date) -> None:
    """Make the activities of these days, and the ledger of their loads, of a history of `days` and the day after it."""
    landed = {"from_day": from_day, "to_day": to_day, "now": NOW}
    with warehouse.transaction() as connection:
        keep_to_timezone(connection, "UTC", now=NOW)
        begun = {"first_day": FIRST_DAY - timedelta(days=LASTS), "days": LASTS + days + 1}
        made = begun | {"runs": RUNS_A_DAY * (LASTS + days + 1), "sequences": SEQUENCES}
        connection.execute(_MAKE, landed | made)
        connection.execute(_NOTE, landed)


def refresh(warehouse: Warehouse, from_day: date, to_day: date) -> None:
    """Build every table, the daily one over these days; print the seconds of each and of all, and the memory."""
    days = [from_day + timedelta(days=n) for n in range((to_day - from_day).days + 1)]
    duckdb.execute("SELECT ?", [0])  # its first bound value makes DuckDB import pandas: that is the process's beginning
    began = time.perf_counter()
    for table in in_order():
        started = time.perf_counter()
        with warehouse.transaction() as connection:
            connection.execute("SET threads = 2; SET memory_limit = '3GB'")
            rows = build(connection, table, timezone="UTC", now=NOW, days=days).rows
        print(
            f"  {table.name:<20} {rows:>12,} rows {time.perf_counter() - started:>8.1f} s", file=sys.stderr, flush=True
        )
    peak = peak_megabytes() / 1024
    print(json.dumps({"seconds": time.perf_counter() - began, "gigabytes": peak}))


@dataclass(frozen=True)
class History:
    """One warehouse in which nothing is built, and one in which all is, but for the day after `last`."""

    landed: Warehouse
    built: Warehouse
    last: date

    @property
    def anew(self) -> tuple[str, ...]:
        """The command that builds all tables from nothing, in a copy."""
        return ("bench.engagement_tables", "copy", self.landed.target, str(FIRST_DAY), str(self.last))

    @property
    def after(self) -> tuple[str, ...]:
        """The command that builds them once more after the one day, in a copy."""
        day = str(self.last + timedelta(days=1))
        return ("bench.engagement_tables", "copy", self.built.target, day, day)


def history(folder: Path, days: int) -> History:
    """Land so many days in a new warehouse; build all tables of a copy, and land one more day there."""
    last = FIRST_DAY + timedelta(days=days - 1)
    landed, built = (Warehouse(str(folder / f"{days}_{state}.duckdb")) for state in ("landed", "built"))
    land(landed, days, FIRST_DAY, last)
    shutil.copy(landed.path, built.path)
    measure("bench.engagement_tables", built.target, str(FIRST_DAY), str(last))
    land(built, days, last + timedelta(days=1), last + timedelta(days=1))
    return History(landed, built, last)


def refresh_copy(warehouse: Warehouse, from_day: date, to_day: date) -> None:
    """As `refresh`, and the warehouse stays as it is."""
    with tempfile.TemporaryDirectory(dir=warehouse.path.parent) as folder:
        copy = Path(folder, "copy.duckdb")
        shutil.copy(warehouse.path, copy)
        refresh(Warehouse(str(copy)), from_day, to_day)


def main() -> None:
    """A year from nothing, and after one more day."""
    with tempfile.TemporaryDirectory() as folder:
        of_a_year = history(Path(folder), DAYS)
        for command in (of_a_year.anew, of_a_year.after):
            print(measure(*command), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [target, from_day, to_day]:
            refresh(Warehouse(target), date.fromisoformat(from_day), date.fromisoformat(to_day))
        case ["copy", target, from_day, to_day]:
            refresh_copy(Warehouse(target), date.fromisoformat(from_day), date.fromisoformat(to_day))
        case _:
            main()
