"""Which tables are built because something that they read has changed."""

from dataclasses import replace

import pytest

from topo_pipeline.automation.following import LastBuild, Name, Outdated, outdated

DAYS, NAMES = ("topo", "activities"), ("topo", "sequence_templates")
RUNS, DAILY, SUMMARY = ("engagement", "runs"), ("engagement", "daily"), ("engagement", "summary")
READS: dict[Name, list[Name]] = {RUNS: [DAYS], DAILY: [DAYS, RUNS, NAMES], SUMMARY: [DAILY]}


def due(days: LastBuild, runs: LastBuild, names: LastBuild | None = None, others: LastBuild | None = None) -> list[str]:
    """Return the tables to build. Unless `others` is given, the other tables are built right after `runs`."""
    others = others or runs
    daily, summary = (replace(others, event=others.event and others.event + later) for later in (1, 2))
    last = {DAYS: days, NAMES: names or LastBuild(), RUNS: runs, DAILY: daily, SUMMARY: summary}
    return [table for _, table in outdated(READS, last).due]


EVERY = ["runs", "daily", "summary"]


@pytest.mark.parametrize(
    ("days", "tables", "expected"),
    [
        (LastBuild(), LastBuild(), []),
        (LastBuild(5, "read"), LastBuild(), EVERY),
        (LastBuild(5, "read"), LastBuild(9, "build", {"build": 7}), []),
        (LastBuild(8, "read"), LastBuild(9, "build", {"build": 7}), EVERY),
        (LastBuild(20, "read"), LastBuild(9, "build", {"build": 7}), EVERY),
        (LastBuild(5, "both"), LastBuild(9, "both", {"both": 2}), []),
        (LastBuild(5, "both"), LastBuild(1, "build", {"both": 2}), EVERY),
        (LastBuild(5, "read"), LastBuild(3, "build", {"again": 7, "build": 2}), EVERY),
        (LastBuild(5, "read"), LastBuild(3, "build", {"again": 8, "first": 7}), []),
        (LastBuild(5, "read"), LastBuild(9, "build", {"build": 8, "first": 7}), []),
        (LastBuild(5, "read"), LastBuild(9, "build", {"failed": 11, "build": 7}), []),
    ],
    ids=[
        "nothing has landed",
        "never built",
        "built after the days landed",
        "landed after the build was requested",
        "landed after the build",
        "landed and built in one run",
        "the run landed days and failed before it built the table",
        "one attempt has failed",
        "two attempts have failed",
        "the second attempt has built it",
        "it was built, and a later run failed",
    ],
)
def test_a_table_is_built_if_it_lacks_what_landed(days: LastBuild, tables: LastBuild, expected: list[str]) -> None:
    assert due(days, tables) == expected


def test_only_tables_that_read_a_changed_source_are_built_and_those_that_read_them() -> None:
    built = LastBuild(9, "build", {"build": 7})
    assert due(LastBuild(5, "read"), built, names=LastBuild(20, "read")) == ["daily", "summary"]
    assert due(LastBuild(5, "read"), LastBuild(20, "by hand", {"by hand": 19}), others=built) == ["daily", "summary"]


def test_the_readers_of_a_table_that_failed_twice_wait_with_it_until_the_next_change() -> None:
    failed, built = LastBuild(3, "build", {"again": 8, "first": 7}), LastBuild(9, "build", {"build": 2})
    last = {DAYS: LastBuild(5, "read"), NAMES: LastBuild(), RUNS: failed, DAILY: built, SUMMARY: built}
    assert outdated(READS, last) == Outdated((), (RUNS, DAILY, SUMMARY))
    assert outdated(READS, last | {DAYS: LastBuild(10, "read")}) == Outdated((RUNS, DAILY, SUMMARY), ())


def test_new_definitions_are_tried_on_tables_that_others_built_or_that_could_not_be_built() -> None:
    days, current = LastBuild(5, "read"), LastBuild(9, "build", {"build": 7})
    failed, old = LastBuild(3, "build", {"again": 8, "first": 7}), LastBuild(9, "build", {"build": 7}, True)
    last = {DAYS: days, NAMES: LastBuild(), RUNS: current, DAILY: current, SUMMARY: current}
    assert outdated(READS, last, replace_old=True, retry=True) == Outdated((), ())
    assert outdated(READS, last | {RUNS: old}, replace_old=True) == Outdated((RUNS, DAILY, SUMMARY), ())
    assert outdated(READS, last | {RUNS: old}, retry=True) == Outdated((), (), (RUNS,))
    assert outdated(READS, last | {RUNS: failed}, retry=True) == Outdated((RUNS, DAILY, SUMMARY), ())
    assert outdated(READS, last | {RUNS: failed}, replace_old=True) == Outdated((), (RUNS, DAILY, SUMMARY))


def test_tables_built_by_other_definitions_hold_up_no_table_that_lacks_a_change() -> None:
    old, newest = LastBuild(9, "build", {"build": 7}, is_of_old_code=True), LastBuild(20, "read")
    last = {DAYS: LastBuild(5, "read"), NAMES: newest, RUNS: old, DAILY: old, SUMMARY: old}
    assert outdated(READS, last) == Outdated((DAILY, SUMMARY), (), (RUNS,))
