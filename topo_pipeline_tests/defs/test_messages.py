"""Log lines of a run: the result of a day or table, and the progress of a range."""

import uuid
from dataclasses import replace
from datetime import date, timedelta

import pytest

from topo_pipeline.common.commands import written_for
from topo_pipeline.defs.messages import ExplainedFailure, day_line, table_line
from topo_pipeline.ingest.loading import Refusal
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.warehouse.builders import LATER

DAY = date(2026, 3, 14)
LOAD = Load(
    day=DAY,
    load_id=uuid.UUID(int=1),
    run_id="run",
    asked_after=LATER,
    asked_before=LATER,
    is_open=False,
    proved=True,
    api_total_count=1_812,
    rows=1_812,
    added=1_800,
    changed=10,
    removed=2,
    requests=19,
    rejects=0,
    started_at=LATER,
    finished_at=LATER,
    suppressed=0,
    count_capped=False,
)
SAYS = "1,812 activities in 19 requests, proved against Topo's count of 1,812; 1,800 added, 10 changed, 2 removed"


def test_a_failure_names_the_organization_in_its_commands() -> None:
    with written_for("acme", None):
        failure = ExplainedFailure("Read it: topo-pipeline backfill 2026-03-14")
    assert failure.description == "Read it: topo-pipeline --organization acme backfill 2026-03-14"
    [shown] = failure.user_code_process_error_infos
    assert shown.message == failure.description


def test_a_day_line_shows_what_was_read_proved_and_changed() -> None:
    assert day_line(LOAD, 1, 1, timedelta(seconds=3)) == f"2026-03-14: {SAYS}"


def test_an_unchanged_day_line_says_that_nothing_changed() -> None:
    same = replace(LOAD, added=0, changed=0, removed=0)
    assert day_line(same, 1, 1, timedelta(0)).endswith("count of 1,812; nothing changed")
    assert day_line(replace(same, removed=1), 1, 1, timedelta(0)).endswith("count of 1,812; 1 removed")


def test_a_day_line_names_everything_unusual() -> None:
    odd = replace(LOAD, rows=1, proved=False, rejects=3, suppressed=4, is_open=True, requests=1)
    assert day_line(odd, 1, 1, timedelta(0)) == (
        "2026-03-14: 1 activity in 1 request, NOT proved against Topo's count of 1,812; 1,800 added, 10 changed,"
        " 2 removed, 3 unreadable, 4 of erased people suppressed (the day is still open)"
    )


@pytest.mark.parametrize(
    ("done", "minutes", "where"),
    [
        (1, 1, "1 of 365, about 6 h 4 min left"),
        (12, 6, "12 of 365, about 2 h 56 min left"),
        (300, 60, "300 of 365, about 13 min left"),
        (364, 91, "364 of 365, less than a minute left"),
        (365, 91, "365 of 365, in about 1 h 31 min"),
    ],
)
def test_a_day_line_of_a_range_shows_progress_and_the_remaining_time(done: int, minutes: float, where: str) -> None:
    assert day_line(LOAD, done, 365, timedelta(minutes=minutes)) == f"2026-03-14 ({where}): {SAYS}"


def test_a_refused_day_shows_its_reason_and_counts_as_done() -> None:
    line = day_line(Refusal(DAY, "1 missing."), 2, 3, timedelta(seconds=10))
    assert line == "2026-03-14 (2 of 3, less than a minute left): refused. 1 missing."


def test_a_table_line_shows_its_rows_and_seconds() -> None:
    assert table_line("sequence_runs", 12_345, [], timedelta(seconds=1.26)) == "sequence_runs: 12,345 rows, in 1.3 s"
    assert table_line("sequence_activity", 7, [DAY], timedelta(0)) == (
        "sequence_activity: 7 rows, 1 day rebuilt, in 0.0 s"
    )
