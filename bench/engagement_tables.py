"""Build all metric tables of eleven million activities from scratch, and refresh them after one more day.

Run as `python -m bench.engagement_tables`. Each build runs in its own process, so that its memory can be measured. It
prints a line of JSON: the seconds, CPU seconds and gigabytes of the first eight tables and of all. The activities are
generated in SQL, without payloads, which no table reads. A history is cut out of a workspace that is already busy, so
that days in a short history have as many activities as days in a long one.
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

from bench.pairs import Results, cpu_seconds, measure, peak_megabytes
from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.tables import in_order
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.workspace import bind_timezone

DAYS = 365
RUNS_A_DAY = 2_740
LASTS = 17  # days from a run's enrolment to its end
SEQUENCES = 300
FIRST_DAY = date(2025, 1, 1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
EIGHT = {
    "sequence_activity", "sequence_channels", "sequence_cohorts", "sequence_daily", "sequence_runs", "sequence_steps",
    "sequence_summary", "sequence_trends",
}  # fmt: skip
"""The tables without forecasts, signals and whole workspaces. They read none of the others, so they are built first."""

# The events of a run: kind, type, channel, its message, hours after the enrolment, and how many of 100 runs have it.
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
INSERT INTO topo.loads BY NAME
SELECT
    day, load_id, 'bench' AS run_id, min(created_at) AS asked_after, max(created_at) AS asked_before, false AS is_open,
    true AS proved, count(*) AS api_total_count, count(*) AS rows, count(*) AS added, 0 AS changed, 0 AS removed,
    1 AS requests, 0 AS rejects, $now AS started_at, $now AS finished_at, 0 AS suppressed, false AS count_capped
FROM topo.activities
WHERE day BETWEEN $from_day AND $to_day
GROUP BY day, load_id
"""


def land(warehouse: Warehouse, days: int, runs_a_day: int, from_day: date, to_day: date) -> None:
    """Generate the activities and ledger of these days, for a history of `days` days and the day after it."""
    landed = {"from_day": from_day, "to_day": to_day, "now": NOW}
    with warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=NOW)
        begun = {"first_day": FIRST_DAY - timedelta(days=LASTS), "days": LASTS + days + 1}
        made = begun | {"runs": runs_a_day * (LASTS + days + 1), "sequences": SEQUENCES}
        connection.execute(_MAKE, landed | made)
        connection.execute(_NOTE, landed)


def refresh(warehouse: Warehouse, from_day: date, to_day: date) -> None:
    """Build every table, the daily one for these days, and print the time of each, and the results."""
    days = [from_day + timedelta(days=n) for n in range((to_day - from_day).days + 1)]
    duckdb.execute("SELECT ?", [0])  # the first bound value makes DuckDB import pandas, which is not measured
    began, used = time.perf_counter(), cpu_seconds()

    def until_now(prefix: str = "") -> Results:
        spent = {"seconds": time.perf_counter() - began, "cpu": cpu_seconds() - used}
        return {prefix + name: value for name, value in (spent | {"gigabytes": peak_megabytes() / 1024}).items()}

    results: Results = {}
    for table in sorted(in_order(), key=lambda each: each.name not in EIGHT):
        if table.name not in EIGHT and not results:
            results = until_now("eight_")
        started = time.perf_counter()
        with warehouse.transaction() as connection:
            connection.execute("SET threads = 2; SET memory_limit = '3GB'")
            rows = build(connection, table, timezone="UTC", now=NOW, days=days).rows
        print(
            f"  {table.name:<20} {rows:>12,} rows {time.perf_counter() - started:>8.1f} s", file=sys.stderr, flush=True
        )
    print(json.dumps(results | until_now()))


@dataclass(frozen=True)
class History:
    """Two warehouses: one without tables, and one with all tables built up to `last` and one more day landed.

    Attributes:
        landed: The one without tables.
        built: The one with tables.
        last: The last day of the history.
        first_build: The results of building its tables from scratch.
    """

    landed: Warehouse
    built: Warehouse
    last: date
    first_build: Results

    def from_scratch(self) -> Results:
        """Build all tables from scratch in a copy."""
        return measure("bench.engagement_tables", "copy", self.landed.target, str(FIRST_DAY), str(self.last))

    def after(self) -> Results:
        """Refresh all tables in a copy after one more day."""
        day = str(self.last + timedelta(days=1))
        return measure("bench.engagement_tables", "copy", self.built.target, day, day)


def history(folder: Path, days: int, runs_a_day: int = RUNS_A_DAY) -> History:
    """Land `days` days in a new warehouse, build all tables in a copy, and land one more day there."""
    last = FIRST_DAY + timedelta(days=days - 1)
    landed, built = (Warehouse(str(folder / f"{days}_{state}.duckdb")) for state in ("landed", "built"))
    land(landed, days, runs_a_day, FIRST_DAY, last)
    shutil.copy(landed.target, built.target)
    results = measure("bench.engagement_tables", built.target, str(FIRST_DAY), str(last))
    land(built, days, runs_a_day, last + timedelta(days=1), last + timedelta(days=1))
    return History(landed, built, last, results)


def refresh_copy(warehouse: Warehouse, from_day: date, to_day: date) -> None:
    """Run `refresh` on a copy of the warehouse."""
    with tempfile.TemporaryDirectory(dir=Path(warehouse.target).parent) as folder:
        copy = Path(folder, "copy.duckdb")
        shutil.copy(warehouse.target, copy)
        refresh(Warehouse(str(copy)), from_day, to_day)


def main() -> None:
    """Measure a year from scratch and after one more day."""
    with tempfile.TemporaryDirectory() as folder:
        of_a_year = history(Path(folder), DAYS)
        for results in (of_a_year.first_build, of_a_year.after()):
            print(results, flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [target, from_day, to_day]:
            refresh(Warehouse(target), date.fromisoformat(from_day), date.fromisoformat(to_day))
        case ["copy", target, from_day, to_day]:
            refresh_copy(Warehouse(target), date.fromisoformat(from_day), date.fromisoformat(to_day))
        case _:
            main()
