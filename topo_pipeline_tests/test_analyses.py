"""The example analyses in docs/analyses, run as they describe on an export of a simulated workspace.

Their numbers are compared with numbers computed from the runs without SQL or pandas. Intervals come from statsmodels.
"""

import csv
import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from statsmodels.stats.proportion import proportion_confint

from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.engagement.tables import in_order
from topo_pipeline.exports.parquet import export_all
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.crashes.source import payload_of
from topo_pipeline_tests.engagement.helpers import made_of
from topo_pipeline_tests.warehouse.builders import landing_in, reading

ANALYSES = Path(__file__).parents[1] / "docs" / "analyses"
DUCKDB = Path(sys.executable).parent / "duckdb"
FIRST, DAYS = date(2026, 3, 2), 45
NOW = datetime(2026, 4, 16, 6, tzinfo=UTC)
WINDOW = timedelta(days=30)
CLOSED_UNTIL = datetime(2026, 4, 16, tzinfo=UTC) - WINDOW
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# The tables that the analyses read, and those that these are made of.
BUILT = made_of("sequence_cohorts", "sequence_steps")

Row = dict[str, Any]


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the first six weeks of a workspace."""
    folder = tmp_path_factory.mktemp("analyses")
    warehouse = Warehouse(str(folder / "topo.duckdb"))
    days = [FIRST + timedelta(days=n) for n in range(DAYS)]
    world = World(11, scale=0.2, starts=FIRST)
    with landing_in(warehouse) as (connection, land):
        bind_timezone(connection, "UTC", now=NOW)
        for day in days:
            activities = world.activities(midnight(day) - timedelta(microseconds=1), midnight(day + timedelta(days=1)))
            rows = [(each.id, each.created_at, json.dumps(payload_of(each, world, NOW))) for each in activities]
            land(reading(*rows, day=day))
    with warehouse.transaction() as connection:
        for table in [table for table in in_order() if table.name in BUILT]:
            build(connection, table, timezone="UTC", now=NOW, rules=DEFAULT_RULES, days=days if table.is_daily else ())
    export_all(warehouse, folder / "data" / "report" / "parquet", now=NOW)
    return folder / "data" / "report" / "parquet" / "latest"


def table(export: Path, name: str) -> list[Row]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.read_parquet(str(export / "engagement" / f"{name}.parquet"))
        return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def interval(k: int, n: int) -> tuple[float, float]:
    low, high = proportion_confint(k, n, method="wilson")
    return float(low), float(high)


def test_weekdays_sql_reports_reply_rates_by_weekday(export: Path) -> None:
    script = (ANALYSES / "weekdays.sql").read_text(encoding="utf-8")
    command = [DUCKDB, "-no-init", "-csv", "-bail"]
    done = subprocess.run(  # noqa: S603
        command, cwd=export, input=script, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stderr == ""
    printed = {row["weekday"]: row for row in csv.DictReader(done.stdout.splitlines())}

    runs = [
        (run["sequence_template_id"], WEEKDAYS[run["contacted_at"].weekday()], has_replied(run))
        for run in table(export, "sequence_runs")
        if run["contacted_at"] and run["contacted_at"] <= CLOSED_UNTIL and not run["left_censored"]
        if not run["first_valid_reply_at"] or run["first_valid_reply_at"] >= run["contacted_at"]
    ]
    contacted, replied = Counter(day for _, day, _ in runs), Counter(day for _, day, has in runs if has)
    of_sequence, replied_to = Counter(s for s, _, _ in runs), Counter(s for s, _, has in runs if has)
    assert list(printed) == [day for day in WEEKDAYS if contacted[day]]
    assert sum(replied.values()) > 5
    for day, row in printed.items():
        n, k = contacted[day], replied[day]
        assert (int(row["contacted"]), int(row["replied"])) == (n, k)
        expected = sum(replied_to[s] / of_sequence[s] for s, weekday, _ in runs if weekday == day) / n
        numbers = (k / n, *interval(k, n), expected)
        assert [float(row[name]) for name in ("reply_rate", "low", "high", "expected")] == pytest.approx(
            numbers, abs=0.0001
        )


def has_replied(run: Row) -> bool:
    replied_at = run["first_valid_reply_at"]
    return bool(replied_at and run["contacted_at"] <= replied_at <= run["contacted_at"] + WINDOW)


def test_steps_py_reports_reply_rates_by_step(export: Path) -> None:
    command = [sys.executable, "-W", "error", ANALYSES / "steps.py", export]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
    assert done.stderr == ""
    heading, *lines = (line.split() for line in done.stdout.splitlines())
    printed = {
        (int(row["step"]), row["channel"]): row for row in (dict(zip(heading, line, strict=True)) for line in lines)
    }

    runs: Counter[tuple[int, str]] = Counter()
    replied: Counter[tuple[int, str]] = Counter()
    replies: Counter[int] = Counter()
    for row in table(export, "sequence_steps"):
        if row["step"] is not None:
            runs[row["step"], row["channel"]] += row["step_reply_rate_den"]
            replied[row["step"], row["channel"]] += row["step_reply_rate_num"]
            replies[row["step"]] += row["share_of_replies_num"]
    assert list(printed) == sorted(where for where, n in runs.items() if n)
    assert sum(replied.values()) > 20
    for (step, channel), row in printed.items():
        k, n = replied[step, channel], runs[step, channel]
        so_far = sum(count for other, count in replies.items() if other <= step) / sum(replies.values())
        assert (int(row["runs"]), int(row["replied"])) == (n, k)
        assert [float(row[name]) for name in ("reply_rate", "low", "high", "replies_so_far")] == pytest.approx(
            (k / n, *interval(k, n), so_far), abs=0.0006
        )


@pytest.mark.parametrize("script", ["weekdays.sql", "steps.py"])
def test_an_analysis_explains_how_to_run_it_and_what_its_numbers_do_not_show(script: str) -> None:
    text = (ANALYSES / script).read_text(encoding="utf-8")
    assert f"docs/analyses/{script}" in text
    assert "What it says:" in text
    assert "What it does not say:" in text
