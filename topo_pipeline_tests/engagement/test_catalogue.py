"""What the .sql files say of their tables: names, comments, grain, upstream tables."""

import re
from dataclasses import replace

import pytest

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.building import Built, build
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.engagement.tables import MetricTable, tables
from topo_pipeline.warehouse.catalogue import columns_of
from topo_pipeline_tests.engagement.helpers import (
    CHANGES_BESIDE,
    KEPT_BESIDE,
    TABLES,
    Workspace,
    enrolled,
    march,
    replied,
    sent,
    without_comments,
)
from topo_pipeline_tests.engagement.oracle import World
from topo_pipeline_tests.engagement.oracle import tables as defined

ACTIVITIES, RUNS = ("topo", "activities"), ("engagement", "sequence_runs")
DAILY, BY_CHANNEL = ("engagement", "sequence_daily"), ("engagement", "sequence_activity")
COHORTS = ("engagement", "sequence_cohorts")
NAMES = ("topo", "sequence_templates")


def test_each_table_comes_once_and_after_its_upstream_tables() -> None:
    assert sorted(TABLES) == sorted(tables())
    for place, name in enumerate(TABLES):
        assert {read for schema, read in tables()[name].reads if schema == "engagement"} <= set(TABLES[:place])


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("sequence_activity", {ACTIVITIES}),
        ("sequence_runs", {ACTIVITIES}),
        ("sequence_daily", {ACTIVITIES, BY_CHANNEL, RUNS, NAMES}),
        ("sequence_cohorts", {ACTIVITIES, RUNS}),
        ("sequence_summary", {ACTIVITIES, COHORTS, DAILY, RUNS, NAMES}),
        ("sequence_trends", {ACTIVITIES, COHORTS}),
        ("reply_timing", {ACTIVITIES, RUNS}),
        (
            "sequence_signals",
            {ACTIVITIES, RUNS, NAMES, ("engagement", "reply_timing"), ("engagement", "sequence_summary")},
        ),
        ("sequence_forecast", {ACTIVITIES, RUNS}),
        ("sequence_channels", {ACTIVITIES, RUNS}),
        ("sequence_steps", {ACTIVITIES, ("engagement", "sequence_channels"), RUNS}),
        ("sequence_timing", {ACTIVITIES, RUNS}),
        ("sequence_volumes", {ACTIVITIES, DAILY, ("engagement", "workspace_daily"), NAMES}),
        ("workspace_daily", {ACTIVITIES, COHORTS, DAILY}),
        ("workspace_weekly", {ACTIVITIES, COHORTS, DAILY}),
    ],
)
def test_a_table_reads_the_tables_that_its_script_names(name: str, reads: set[tuple[str, str]]) -> None:
    assert tables()[name].reads == reads


def test_a_file_names_the_companions_of_its_table_and_they_are_no_tables_of_their_own() -> None:
    assert tables()["sequence_runs"].comments().keys() == {
        "sequence_runs",
        "sequence_actions",
        "sequence_firsts",
        "sequence_responses",
    }
    assert tables()["sequence_cohorts"].comments().keys() == {"sequence_cohorts", "sequence_cohorts_known"}
    assert not tables().keys() & {*KEPT_BESIDE, *CHANGES_BESIDE}


def test_a_script_shows_whether_its_table_is_daily_and_whether_it_is_incremental() -> None:
    kinds = {name: (table.is_daily, table.is_incremental) for name, table in tables().items()}
    assert kinds["sequence_activity"] == (True, True)
    assert kinds["sequence_runs"] == kinds["sequence_cohorts"] == (False, True)
    built_whole = {name for name, kind in kinds.items() if kind == (False, False)}
    assert built_whole == kinds.keys() - {"sequence_activity", "sequence_runs", "sequence_cohorts"}


def test_every_table_and_column_is_commented_in_the_warehouse(anywhere: Workspace) -> None:
    anywhere.land_all([enrolled(march(1))])
    for name, built in anywhere.build(*TABLES).items():
        with anywhere.warehouse.reader() as connection:
            assert built.columns == columns_of(connection, "engagement", name)
        assert [column.name for column in built.columns if not column.comment] == [], name
        # A HUGEINT would reach Parquet and pandas as a DOUBLE.
        counts = {column.type for column in built.columns if column.name.startswith(("total_", "unique_"))}
        assert counts <= {"BIGINT"}, name
        assert "HUGEINT" not in {column.type for column in built.columns}, name
    of_ours = "WHERE database_name = current_database() AND schema_name = 'engagement' AND table_name <> 'builds'"
    comments = anywhere.select(f"SELECT table_name, comment FROM duckdb_tables() {of_ours}")  # noqa: S608
    assert dict(comments) == {name: texts[""] for table in TABLES for name, texts in tables()[table].comments().items()}
    columns = anywhere.select(f"SELECT table_name, data_type, comment FROM duckdb_columns() {of_ours}")  # noqa: S608
    assert {name for name, _, comment in columns if not comment} == set()
    assert {name for name, type_, _ in columns if type_ == "HUGEINT"} == set()


ONE_RUN, MUCH_LATER = [enrolled(march(1, 8)), sent(march(1)), replied(march(1, 10))], march(60).date()


@pytest.fixture(scope="module")
def built(shared: Workspace) -> dict[str, Built]:
    """What a build of every table in `shared` has returned. Tests must not change the workspace."""
    shared.land_all(ONE_RUN, MUCH_LATER)
    with without_comments():
        return shared.build(*TABLES)


def test_the_files_comment_each_column_of_their_tables_once_and_no_other(
    shared: Workspace, built: dict[str, Built]
) -> None:
    for table in built:
        for name, comments in tables()[table].comments().items():
            commented = re.findall(
                rf"^COMMENT ON COLUMN engagement\.{name}\.(\w+) IS '", tables()[table].sql, re.MULTILINE
            )
            there = shared.select(f"SELECT column_name FROM (DESCRIBE engagement.{name})")  # noqa: S608
            assert commented == [column for (column,) in there] == [column for column in comments if column], name


@pytest.mark.usefixtures("built")
def test_the_tables_have_the_columns_of_their_definitions(shared: Workspace) -> None:
    expected = defined(World({march(1).date(): ONE_RUN, MUCH_LATER: []}))
    found = shared.all_rows()
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert set(found[name][0]) == set(rows[0]), name


@pytest.mark.usefixtures("uncommented")
def test_tables_without_an_activity_are_built_empty(anywhere: Workspace) -> None:
    assert {name: table.rows for name, table in anywhere.build(*TABLES).items()} == dict.fromkeys(TABLES, 0)
    nothing = {name: [] for name in (*TABLES, *KEPT_BESIDE, "sequence_firsts")}
    assert anywhere.all_rows() == nothing | {"sequence_cohorts_known": [{"as_of": None, "unknown_days": []}]}
    anywhere.land(march(1).date(), [])
    # The tables of the workspace have a row for each landed day or week, and others their rows of the workspace.
    # The day is a Sunday, so its week is over.
    rows = dict.fromkeys(TABLES, 0) | {"workspace_daily": 1, "workspace_weekly": 1, "sequence_volumes": 1}
    rows |= {"sequence_signals": 1, "reply_timing": 3 * 7 * 31, "sequence_forecast": 4}
    assert {name: table.rows for name, table in anywhere.build(*TABLES).items()} == rows


def test_a_build_returns_its_rows(shared: Workspace, built: dict[str, Built]) -> None:
    assert {name: table.rows for name, table in built.items()} == {name: len(shared.rows(name)) for name in TABLES}
    # One for the channel of the message and its reply, and one for the enrolment, which has none.
    assert built["sequence_activity"].rows_by_day == {march(1).date(): 2, MUCH_LATER: 0}


def test_a_fingerprint_depends_on_statements_macros_rules_and_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables()["sequence_runs"]
    with monkeypatch.context() as another:
        another.setattr(macros, "DEFINITIONS", macros.DEFINITIONS + " ")
        of_another_macro = table.fingerprint(DEFAULT_RULES, "UTC")
    fingerprints = {
        of_another_macro,
        table.fingerprint(DEFAULT_RULES, "UTC"),
        table.fingerprint(DEFAULT_RULES, "Europe/Paris"),
        table.fingerprint(replace(DEFAULT_RULES, censored_days=0), "UTC"),
        MetricTable(table.name, f"{table.sql}SELECT '-- a text';").fingerprint(DEFAULT_RULES, "UTC"),
        MetricTable(table.name, f"{table.sql}SELECT '-- another';").fingerprint(DEFAULT_RULES, "UTC"),
    }
    assert len(fingerprints) == 6


def test_comments_and_unused_rules_do_not_change_a_fingerprint() -> None:
    table = tables()["sequence_runs"]
    reworded = re.sub(r"(?m)^--.*$|(?<=;) --.*$", "-- It's a remark", table.sql).replace(" IS 'One row", " IS 'A row")
    assert reworded != table.sql
    other_rules = replace(DEFAULT_RULES, evidence_small=3)
    assert MetricTable(table.name, reworded).fingerprint(other_rules, "UTC") == table.fingerprint(DEFAULT_RULES, "UTC")


def test_a_new_comment_is_written_without_a_rebuild(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1))])
    workspace.build("sequence_runs")
    table = tables()["sequence_runs"]
    mark = "UPDATE engagement.sequence_runs SET opens = 42"
    comment = "SELECT comment FROM duckdb_tables() WHERE table_name = 'sequence_runs'"
    with workspace.warehouse.transaction() as connection:
        connection.execute(mark)
        reworded = replace(table, sql=table.sql.replace("IS 'One row per sequence", "IS 'It''s one row per sequence"))
        build(connection, reworded, timezone="UTC", now=workspace.now)
    assert workspace.rows("sequence_runs")[0]["opens"] == 42
    assert str(workspace.select(comment)[0][0]).startswith("It's one row per sequence run (")


def test_a_table_of_the_same_name_in_another_schema_is_not_taken_for_ours(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1))])
    workspace.build("sequence_runs", "sequence_timing")
    right = tables()["sequence_timing"].comments()["sequence_timing"]["weekday"]
    with workspace.warehouse.transaction() as connection:
        connection.execute("CREATE TABLE main.sequence_timing AS FROM engagement.sequence_timing")
        connection.execute(f"COMMENT ON COLUMN main.sequence_timing.weekday IS '{right}'")
        connection.execute("COMMENT ON COLUMN engagement.sequence_timing.weekday IS 'something else'")
        build(connection, tables()["sequence_timing"], timezone="UTC", now=workspace.now)
        comments = [
            it.comment for it in columns_of(connection, "engagement", "sequence_timing") if it.name == "weekday"
        ]
    assert comments == [right]


def test_comments_have_the_values_of_the_rules(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1))])
    rules = replace(DEFAULT_RULES, instant_open_seconds=6, quantile_repliers=9)
    with workspace.warehouse.transaction() as connection:
        for name in ("sequence_activity", "sequence_runs", "sequence_daily", "sequence_cohorts"):
            build(connection, tables()[name], timezone="UTC", now=workspace.now, rules=rules)
    comments = dict(workspace.select("SELECT column_name, comment FROM duckdb_columns() WHERE comment LIKE '%(rule%'"))
    assert "at most 6 seconds after" in comments["opens_instant"]
    assert "fewer than 9 " in comments["median_hours_to_first_reply"]
    assert [text for text in comments.values() if "$" in text] == []


def test_a_file_without_a_grain_is_an_error() -> None:
    with pytest.raises(ValueError, match="nameless"):
        _ = MetricTable("nameless", "SELECT 1").grain


@pytest.mark.parametrize("name", sorted(tables()))
def test_a_grain_consists_of_columns_of_the_table(name: str) -> None:
    assert set(tables()[name].grain) <= set(tables()[name].columns)


def test_a_file_without_a_comment_on_its_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="nameless"):
        _ = MetricTable("nameless", "SELECT 1").description


def test_a_changed_script_rebuilds_its_table_with_the_new_columns(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1))])
    workspace.build("sequence_runs")
    table = tables()["sequence_runs"]
    newer = replace(
        table,
        sql=table.sql.replace("    anomalies VARCHAR[]\n", "    oddities VARCHAR[]\n").replace(
            "runs.anomalies IS", "runs.oddities IS"
        ),
    )
    with workspace.warehouse.transaction() as connection:
        built = build(connection, newer, timezone="UTC", now=workspace.now)
    assert built.columns[-1].name == "oddities"
    assert built.rows == 1


def test_a_changed_script_rebuilds_a_companion_with_the_new_columns(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1))])
    workspace.build("sequence_runs")
    table = tables()["sequence_runs"]
    newer = replace(
        table, sql=table.sql.replace("    run_over_at TIMESTAMP", "    oddity VARCHAR,\n    run_over_at TIMESTAMP")
    )
    with workspace.warehouse.transaction() as connection:
        build(connection, newer, timezone="UTC", now=workspace.now)
    assert workspace.select("SELECT oddity, count(*) FROM engagement.sequence_actions GROUP BY ALL") == [(None, 1)]


def test_a_changed_query_replaces_its_table_with_the_new_columns_and_comments_it(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1))])
    workspace.build("sequence_runs", "sequence_timing")
    assert workspace.rows("sequence_timing")[0]["weekday"] == 7
    table = tables()["sequence_timing"]
    newer = replace(table, sql=table.sql.replace("isodow(day) AS weekday", "isodow(day)::VARCHAR AS weekday"))
    with workspace.warehouse.transaction() as connection:
        built = build(connection, newer, timezone="UTC", now=workspace.now)
        [weekday] = [it for it in columns_of(connection, "engagement", "sequence_timing") if it.name == "weekday"]
    assert (weekday.type, built.rows) == ("VARCHAR", 1)
    assert weekday in built.columns
    assert weekday.comment is not None
    assert weekday.comment.startswith("Weekday of the send")
