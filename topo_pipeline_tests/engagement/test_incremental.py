"""Incremental tables process every load once and are rebuilt when their SQL, rules or companion tables change."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline.engagement.tables import tables
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline_tests.engagement.helpers import (
    CLOCK_STARTS,
    DAILY,
    KEPT,
    KEPT_BESIDE,
    Row,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.engagement.oracle import days

DAY_1, DAY_2 = date(2026, 3, 1), date(2026, 3, 2)
INCREMENTAL = ("sequence_activity", "sequence_runs")
COHORTS = ("sequence_runs", "sequence_cohorts")
REFERRALS_ARE_POSITIVE = replace(DEFAULT_RULES, positive_replies=("REFERRAL",), neutral_replies=())
AXES = ("touched", "sent", "enrolled")


def tamper(workspace: Workspace) -> None:
    """Change every row. Only a rebuild of the row undoes that."""
    with workspace.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_actions SET step = 999")
        connection.execute("UPDATE engagement.sequence_runs SET opens = 999")
        connection.execute("UPDATE engagement.sequence_activity SET total_opens = 999")


def rows_of(workspace: Workspace) -> dict[str, list[Row]]:
    """Return the rows of the incremental tables and their companions. The others are always rebuilt from these."""
    return {name: workspace.rows(name) for name in (*KEPT, *KEPT_BESIDE)}


def test_a_load_that_commits_late_is_processed(anywhere: Workspace) -> None:
    anywhere.land(DAY_2, [opened(march(2))])
    anywhere.build(*KEPT)
    anywhere.land(DAY_1, [enrolled(march(1)), sent(march(1))], finished_at=CLOCK_STARTS - timedelta(days=1))
    anywhere.build()
    assert anywhere.run()["contacted_at"] == march(1)
    assert anywhere.daily()[DAY_1]["unique_sent"] == 1


def test_only_the_runs_and_days_that_a_load_touches_are_rebuilt(workspace: Workspace) -> None:
    workspace.land_all([make(march(1), run) for run in "AB" for make in (enrolled, sent)])
    workspace.build(*INCREMENTAL)
    tamper(workspace)
    workspace.land(DAY_2, [opened(march(2), "A")])
    workspace.build(*INCREMENTAL)
    assert (workspace.run("A")["opens"], workspace.run("B")["opens"]) == (1, 999)
    kept = [(row["sequence_id"], row["step"], row["opened_at"]) for row in workspace.rows("sequence_actions")]
    assert sorted(kept, key=repr) == sorted([(uid("A"), None, march(2)), (uid("B"), 999, None)], key=repr)
    opens = {(row["day"], row["total_opens"]) for row in workspace.rows("sequence_activity")}
    assert opens == {(DAY_1, 999), (DAY_2, 1)}


def test_of_sequence_daily_only_the_days_with_a_difference_are_written(anywhere: Workspace) -> None:
    day_3 = date(2026, 3, 3)
    anywhere.land_all([enrolled(march(1)), sent(march(1)), sent(march(2)), opened(march(3, 9)), opened(march(3, 10))])
    anywhere.build(*DAILY)
    anywhere.land(day_3, [opened(march(3, 9))])
    with anywhere.warehouse.transaction() as connection:  # one transaction, because a checkpoint changes row ids

        def stored() -> set[tuple[int, date]]:
            return {*connection.execute("SELECT rowid, day FROM engagement.sequence_daily").fetchall()}

        before = stored()
        for name in DAILY:
            build(connection, tables()[name], timezone="UTC", now=anywhere.now)
        assert {day for _, day in before} == {DAY_1, DAY_2, day_3}
        assert {day for _, day in before ^ stored()} == {day_3}
    assert anywhere.daily()[day_3]["total_opens"] == 1


def test_a_row_that_was_inserted_by_hand_is_gone_after_a_build(anywhere: Workspace) -> None:
    anywhere.land_all([enrolled(march(1))])
    anywhere.build(*DAILY)
    built = anywhere.rows("sequence_daily")
    with anywhere.warehouse.transaction() as connection:
        connection.execute(
            "INSERT INTO engagement.sequence_daily (day, total_sent) VALUES (NULL, 1), ('2026-03-01', 1)"
        )
    anywhere.build("sequence_daily")
    assert anywhere.rows("sequence_daily") == built


def test_a_full_refresh_rebuilds_every_row(anywhere: Workspace) -> None:
    anywhere.land_all([enrolled(march(1), "A"), enrolled(march(1), "B"), sent(march(1), "B"), opened(march(2), "B")])
    anywhere.build(*KEPT)
    built = rows_of(anywhere)
    tamper(anywhere)
    anywhere.build(*KEPT, full_refresh=True)
    assert rows_of(anywhere) == built


@pytest.mark.parametrize(
    "left",
    [
        # As an older version without actions left it.
        ("UPDATE engagement.builds SET fingerprint = 'older'", "DROP TABLE engagement.sequence_actions"),
        # Two tables that are built apart.
        ("DROP TABLE engagement.sequence_firsts", "DROP TABLE engagement.sequence_activity"),
        pytest.param(("DROP TABLE engagement.sequence_responses",), marks=pytest.mark.full),
        pytest.param(("DROP TABLE engagement.sequence_actions",), marks=pytest.mark.full),
        pytest.param(("DROP TABLE engagement.sequence_runs",), marks=pytest.mark.full),
    ],
    ids=["older version", "no firsts, no activity", "no responses", "no actions", "no runs"],
)
def test_a_missing_table_is_rebuilt_over_all_its_days(anywhere: Workspace, left: tuple[str, ...]) -> None:
    first, then = [enrolled(march(1)), sent(march(1)), replied(march(1, 10))], [enrolled(march(2), "B")]
    anywhere.land_all([*first, *then])
    anywhere.build(*INCREMENTAL)
    kept = (*INCREMENTAL, *KEPT_BESIDE)
    built = {name: anywhere.rows(name) for name in kept}
    with anywhere.warehouse.transaction() as connection:
        for statement in left:
            connection.execute(statement)
    anywhere.land(DAY_2, then)  # one of the two days
    anywhere.build(*INCREMENTAL)
    assert {name: anywhere.rows(name) for name in kept} == built


def test_building_in_slices_gives_the_same_rows(workspace: Workspace) -> None:
    activities = [make(march(day), run) for run in "ABCDEFG" for day, make in enumerate((enrolled, sent, replied), 1)]
    workspace.land_all([*activities, *(sent(march(4), run, sequence="nurture") for run in "ABC")])
    workspace.build("sequence_runs")
    whole = {name: workspace.rows(name) for name in ("sequence_runs", *KEPT_BESIDE)}
    today = tables()["sequence_runs"]
    sliced = replace(today, sql=today.sql.replace("// 200_000 AS slice", "// 3 AS slice"))
    assert sliced != today
    with workspace.warehouse.transaction() as connection:
        build(connection, sliced, timezone="UTC", now=workspace.now)
        assert connection.execute("SELECT count(DISTINCT slice) FROM touched").fetchall() == [(3,)]
    reopened = Workspace(workspace.target)
    assert {name: reopened.rows(name) for name in whole} == whole


def test_a_changed_rule_rebuilds_every_row(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), replied(march(1), category="REFERRAL"), enrolled(march(2), "B")])
    workspace.build(*INCREMENTAL)
    tamper(workspace)
    workspace.build(*INCREMENTAL, rules=REFERRALS_ARE_POSITIVE)
    before = {table: workspace.rows(table) for table in INCREMENTAL}
    workspace.build(*INCREMENTAL, rules=REFERRALS_ARE_POSITIVE, full_refresh=True)
    assert before == {table: workspace.rows(table) for table in INCREMENTAL}
    assert 999 not in {row.get("opens", row.get("total_opens")) for rows in before.values() for row in rows}


def test_a_changed_rule_takes_effect_in_every_table(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1)), replied(march(2), category="REFERRAL")])
    workspace.build(*KEPT)
    workspace.build(*DAILY, rules=REFERRALS_ARE_POSITIVE)
    assert workspace.daily()[DAY_2]["unique_positive_replies"] == 1
    assert workspace.daily()[DAY_2]["total_positive_replies"] == 1
    workspace.build(rules=replace(DEFAULT_RULES, neutral_replies=(), bounced_replies=("REFERRAL",)))
    day = workspace.daily()[DAY_2]
    assert (day["unique_positive_replies"], day["total_positive_replies"]) == (0, 0)
    assert (day["unique_replies"], day["unique_valid_replies"], day["total_valid_replies"]) == (1, 0, 0)
    assert (day["replies_bounced"], day["replies_neutral"]) == (1, 0)
    assert workspace.run()["outcome"] == "bounced"


def test_each_load_is_recorded_once_for_each_incremental_table(workspace: Workspace) -> None:
    for _ in range(2):
        workspace.land_all([enrolled(march(1)), sent(march(2))])
        workspace.build(*KEPT)
        workspace.stale |= {DAY_1, DAY_2}
        workspace.build(*KEPT)
    recorded = "SELECT table_name, count(*), count(DISTINCT load_id) FROM engagement.builds GROUP BY ALL ORDER BY ALL"
    assert workspace.select(recorded) == [(table, 4, 4) for table in sorted(KEPT)]


def test_a_build_that_is_rolled_back_is_not_recorded(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1))])
    with pytest.raises(ZeroDivisionError), workspace.warehouse.transaction() as connection:
        build(connection, tables()["sequence_runs"], timezone="UTC", now=workspace.now)
        raise ZeroDivisionError
    assert workspace.select("FROM engagement.builds") == []
    workspace.build()
    assert workspace.run()["enrolled_at"] == march(1)


def test_reading_a_day_again_without_a_change_changes_no_row(workspace: Workspace) -> None:
    activities = [enrolled(march(1)), sent(march(1)), replied(march(2))]
    workspace.land_all(activities)
    workspace.build(*KEPT)
    before = rows_of(workspace)
    workspace.land_all(activities)
    workspace.build(*KEPT)
    assert rows_of(workspace) == before


def test_a_daily_build_builds_the_given_days_and_those_that_it_lacks(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), enrolled(march(2), "B")])

    def built(*days: date) -> dict[date, int]:
        with workspace.warehouse.transaction() as connection:
            table = tables()["sequence_activity"]
            return build(connection, table, timezone="UTC", now=workspace.now, days=days).rows_by_day

    assert built(DAY_2, date(2026, 3, 9)) == {DAY_1: 1, DAY_2: 1}  # the 9th has not landed
    assert built(DAY_2) == {DAY_2: 1}
    workspace.land(DAY_1, [enrolled(march(1)), enrolled(march(1), "C")])
    assert built() == {DAY_1: 1}
    assert built() == {}
    assert {row["day"] for row in workspace.rows("sequence_activity")} == {DAY_1, DAY_2}


def test_a_table_built_before_any_load_gets_the_columns_of_newer_sql(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1))])
    for name in INCREMENTAL:
        today = tables()[name]
        creates = today.sql.partition(";")[0].replace("person", "somebody")
        records = "DELETE FROM engagement.builds WHERE false"  # as in the script of an incremental table
        older = replace(today, sql=f"{creates};\n{records};\nCOMMENT ON TABLE engagement.{name} IS 'older';\n")
        with workspace.warehouse.transaction() as connection:
            for table in (older, today):
                built = build(connection, table, timezone="UTC", now=CLOCK_STARTS, days=[DAY_1])
        assert built.rows > 0, name
        assert not any(column.name.startswith("somebody") for column in built.columns), name


def cohorts_written(workspace: Workspace, rules: Rules = DEFAULT_RULES) -> set[tuple[str | None, date, str]]:
    """Build the cohorts. Return the sequence, day and axis of the rows that the build wrote."""
    with workspace.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_cohorts SET maturity = -1")
    workspace.build(*COHORTS, rules=rules)
    rows = workspace.rows("sequence_cohorts")
    return {(row["sequence_template_id"], row["cohort_day"], row["axis"]) for row in rows if row["maturity"] != -1}


def test_only_changed_cohorts_are_written(anywhere: Workspace) -> None:
    first, then = sent(march(1), sequence=None), sent(march(2), "B")
    anywhere.land_all([enrolled(march(1)), first, enrolled(march(2), "B"), then], march(50).date())
    anywhere.build(*COHORTS)
    assert cohorts_written(anywhere) == set()
    anywhere.land(
        march(51).date(), [replied(march(51), "B")]
    )  # too late for the rates: it counts in the columns to date
    assert cohorts_written(anywhere) == {(uid("outbound"), DAY_2, axis) for axis in AXES}


def test_a_cohort_is_written_when_a_window_closes_and_when_a_day_in_it_becomes_unknown_or_known(
    workspace: Workspace,
) -> None:
    rules = Rules(censored_days=0, reply_window_days=3)
    day = march(5).date()
    # Every window of the first run has closed before the build.
    workspace.land_all([sent(march(-20)), sent(march(5), "B")], *(march(day).date() for day in range(1, 7)))
    workspace.build(*COHORTS, rules=rules)

    def written(*landed: int) -> set[tuple[date, str]]:
        workspace.land_all([], *(march(landed_day).date() for landed_day in landed))
        return {(cohort_day, axis) for _, cohort_day, axis in cohorts_written(workspace, rules)}

    def cohort(*names: str) -> list[int]:
        return [workspace.cohorts("touched")[day][name] for name in names]

    both = {(day, "touched"), (day, "sent")}
    assert written(7) == set()
    assert written(9) == both  # the windows of 3 days close, and the 8th is missing
    assert cohort("eligible", "days_unknown", "eligible_3d", "eligible_7d") == [1, 1, 0, 0]
    assert written(8) == both
    assert cohort("eligible", "days_unknown", "eligible_3d", "eligible_7d") == [1, 0, 1, 0]
    assert written(10) == set()
    assert written(11, 12) == both  # the window of 7 days closes
    assert cohort("eligible_3d", "eligible_7d", "eligible_14d") == [1, 1, 0]


def test_a_full_refresh_of_the_runs_rebuilds_the_cohorts(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1)), enrolled(march(2), "B")])
    workspace.build(*COHORTS)
    workspace.build("sequence_runs", full_refresh=True)
    every_row = {(DAY_1, "touched"), (DAY_1, "sent"), (DAY_1, "enrolled"), (DAY_2, "enrolled")}
    assert cohorts_written(workspace) == {(uid("outbound"), day, axis) for day, axis in every_row}


def outdated(workspace: Workspace, *names: str, **how: Any) -> set[str]:
    """Build these tables. Return those that were rebuilt because they were outdated."""
    return {name for name, built in workspace.build(*names, **how).items() if built.was_outdated}


def test_a_table_is_outdated_by_a_changed_rule_and_by_a_rebuild_of_a_table_that_it_reads(workspace: Workspace) -> None:
    for _ in range(2):  # before any load too
        assert outdated(workspace, *KEPT) == set()
    workspace.land_all([enrolled(march(1)), sent(march(1))])
    for _ in range(2):
        assert outdated(workspace, *KEPT) == set()
    assert outdated(workspace, *KEPT, rules=REFERRALS_ARE_POSITIVE) == {*KEPT}
    assert outdated(workspace, *KEPT, rules=Rules(evidence_small=1)) == {*KEPT}
    of_cohorts = Rules(evidence_small=2)
    assert outdated(workspace, *KEPT, rules=of_cohorts) == {"sequence_cohorts"}
    assert outdated(workspace, "sequence_runs", rules=of_cohorts, full_refresh=True) == set()
    assert outdated(workspace, *KEPT, rules=of_cohorts) == {"sequence_cohorts"}
    assert outdated(workspace, *KEPT, rules=of_cohorts) == set()


def test_a_first_event_moves_to_another_day_in_sequence_firsts(anywhere: Workspace) -> None:
    anywhere.land_all([enrolled(march(1)), sent(march(2)), sent(march(3)), sent(march(2), "B")])
    anywhere.build("sequence_runs")
    anywhere.land(DAY_2, [sent(march(2), "B")])
    anywhere.build("sequence_runs")
    firsts = anywhere.select(
        "SELECT day, unique_found, unique_sent, runs_begun FROM engagement.sequence_firsts ORDER BY day"
    )
    assert firsts == [(DAY_1, 1, 0, 1), (DAY_2, 0, 0, 1), (date(2026, 3, 3), 0, 1, 0)]


def test_a_cohort_without_runs_is_removed_and_one_without_a_sequence_is_updated(workspace: Workspace) -> None:
    unnamed = {"sequence": None}
    workspace.land_all([sent(march(1), "A", **unnamed), sent(march(1), "B"), sent(march(2), "C", **unnamed)])
    workspace.build(*COHORTS, rules=Rules(censored_days=0))
    workspace.land_all([sent(march(1), "A", **unnamed), sent(march(1), "D", **unnamed), sent(march(2), "C", **unnamed)])
    assert cohorts_written(workspace, Rules(censored_days=0)) == {(None, DAY_1, axis) for axis in AXES[:2]}
    days = {(row["sequence_template_id"], row["cohort_day"]) for row in workspace.rows("sequence_cohorts")}
    assert days == {(None, DAY_1), (None, DAY_2)}


def test_a_proof_that_is_withdrawn_reaches_early_windows_that_are_longer_than_the_outcome_window(
    workspace: Workspace,
) -> None:
    rules = Rules(reply_window_days=3)
    workspace.land_all([enrolled(march(5, 8)), sent(march(5))], *days(march(1).date(), march(40).date()))
    workspace.build(*COHORTS, rules=rules)
    assert workspace.cohorts("touched")[march(5).date()]["eligible_14d"] == 1
    workspace.withdraw_proof(march(15).date())
    workspace.build(*COHORTS, rules=rules)
    assert workspace.cohorts("touched")[march(5).date()]["eligible_14d"] == 0


def test_a_changed_evidence_rule_rewrites_cohorts_whose_counts_stay(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1))], march(50).date())
    workspace.build(*COHORTS)
    assert cohorts_written(workspace, Rules(evidence_small=1)) == {(uid("outbound"), DAY_1, axis) for axis in AXES}
    assert workspace.cohorts("touched")[DAY_1]["reply_rate_evidence"] == "directional"


def test_a_table_whose_upstream_tables_are_not_built_says_which(workspace: Workspace) -> None:
    named: set[str] = set()
    with workspace.warehouse.transaction() as connection:
        for table in tables().values():
            upstream = {f"engagement.{name}" for schema, name in table.reads if schema == "engagement"}
            if upstream:
                with pytest.raises(WarehouseError, match="Build them first: ") as raised:
                    build(connection, table, timezone="UTC", now=CLOCK_STARTS, days=[DAY_1])
                assert set(str(raised.value).partition("first: ")[2].split(", ")) == upstream, table.name
                named |= upstream
    assert "engagement.sequence_runs" in named
