"""What is kept between builds takes in every load once, and starts anew where what it is made by has changed."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline.engagement.tables import build, tables
from topo_pipeline_tests.engagement.helpers import (
    CLOCK_STARTS,
    DAILY,
    KEPT,
    KEPT_BESIDE,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
    uid,
)

DAY_1, DAY_2 = date(2026, 3, 1), date(2026, 3, 2)
INCREMENTAL = ("sequence_activity", "sequence_runs")
COHORTS = ("sequence_runs", "sequence_cohorts")
AXES = ("sent", "enrolled")


def tamper(workspace: Workspace) -> None:
    """Leave a mark on every row that only a rebuild of that row takes away."""
    with workspace.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_actions SET step = 999")
        connection.execute("UPDATE engagement.sequence_runs SET opens = 999")
        connection.execute("UPDATE engagement.sequence_activity SET total_opens = 999")


def test_a_load_that_commits_late_is_taken_in(anywhere: Workspace) -> None:
    anywhere.land(DAY_2, [opened(march(2))])
    anywhere.build(*KEPT)
    anywhere.land(DAY_1, [enrolled(march(1)), sent(march(1))], finished_at=CLOCK_STARTS - timedelta(days=1))
    anywhere.build()
    assert anywhere.run()["contacted_at"] == march(1)
    assert anywhere.daily()[DAY_1]["unique_sent"] == 1


def test_only_the_runs_and_days_that_a_load_touched_are_rebuilt(workspace: Workspace) -> None:
    workspace.land_all([did(march(1), run) for run in "AB" for did in (enrolled, sent)])
    workspace.build(*INCREMENTAL)
    tamper(workspace)
    workspace.land(DAY_2, [opened(march(2), "A")])
    workspace.build(*INCREMENTAL)
    assert (workspace.run("A")["opens"], workspace.run("B")["opens"]) == (1, 999)
    kept = [(row["sequence_id"], row["step"], row["opened_at"]) for row in workspace.rows("sequence_actions")]
    assert sorted(kept, key=repr) == sorted([(uid("A"), None, march(2)), (uid("B"), 999, None)], key=repr)
    opens = {(row["day"], row["total_opens"]) for row in workspace.rows("sequence_activity")}
    assert opens == {(DAY_1, 999), (DAY_2, 1)}


def test_a_full_refresh_starts_from_nothing(anywhere: Workspace) -> None:
    anywhere.land_all([enrolled(march(1), "A"), enrolled(march(1), "B"), sent(march(1), "B"), opened(march(2), "B")])
    anywhere.build()
    built = anywhere.all_rows()
    tamper(anywhere)
    anywhere.build(full_refresh=True)
    assert anywhere.all_rows() == built


@pytest.mark.parametrize(
    "left",
    [
        # As a version left it that did not keep the actions.
        ("UPDATE engagement.builds SET fingerprint = 'of its time'", "DROP TABLE engagement.sequence_actions"),
        ("DROP TABLE engagement.sequence_firsts",),
        ("DROP TABLE engagement.sequence_activity",),
        pytest.param(("DROP TABLE engagement.sequence_actions",), marks=pytest.mark.full),
        pytest.param(("DROP TABLE engagement.sequence_runs",), marks=pytest.mark.full),
    ],
    ids=["an older version's", "without firsts", "without counts", "without actions", "without runs"],
)
def test_where_one_of_the_tables_kept_between_builds_is_gone_it_is_built_whole(
    anywhere: Workspace, left: tuple[str, ...]
) -> None:
    first, then = [enrolled(march(1)), sent(march(1)), replied(march(1, 10))], [enrolled(march(2), "B")]
    anywhere.land_all([*first, *then])
    anywhere.build(*INCREMENTAL)
    kept = (*INCREMENTAL, *KEPT_BESIDE)
    built = {name: anywhere.rows(name) for name in kept}
    with anywhere.warehouse.transaction() as connection:
        for statement in left:
            connection.execute(statement)
    anywhere.land(DAY_2, then)  # one day that is read again: what is gone is more
    anywhere.build(*INCREMENTAL)
    assert {name: anywhere.rows(name) for name in kept} == built


def test_runs_that_are_taken_slice_by_slice_are_the_same(workspace: Workspace) -> None:
    activities = [did(march(day), run) for run in "ABCDEFG" for day, did in enumerate((enrolled, sent, replied), 1)]
    workspace.land_all([*activities, *(sent(march(4), run, sequence="nurture") for run in "ABC")])
    workspace.build("sequence_runs")
    whole = {name: workspace.rows(name) for name in ("sequence_runs", "sequence_actions")}
    today = tables()["sequence_runs"]
    sliced = replace(today, sql=today.sql.replace("// 200_000 AS slice", "// 3 AS slice"))
    assert sliced != today
    with workspace.warehouse.transaction() as connection:
        build(connection, sliced, timezone="UTC", now=workspace.now)
        assert connection.execute("SELECT count(DISTINCT slice) FROM touched").fetchall() == [(3,)]
    anew = Workspace(workspace.target)
    assert {name: anew.rows(name) for name in whole} == whole


@pytest.mark.parametrize("table", INCREMENTAL)
def test_another_rule_rebuilds_what_was_made_by_the_old_one(workspace: Workspace, table: str) -> None:
    workspace.land_all([enrolled(march(1)), replied(march(1), category="REFERRAL"), enrolled(march(2), "B")])
    workspace.build(*INCREMENTAL)
    warm = replace(DEFAULT_RULES, positive_replies=("REFERRAL",))
    tamper(workspace)
    workspace.build(table, rules=warm)
    before = workspace.rows(table)
    workspace.build(table, rules=warm, full_refresh=True)
    assert before == workspace.rows(table)
    assert 999 not in {row.get("opens", row.get("total_opens")) for row in before}


def test_another_rule_takes_effect_in_every_table(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1)), replied(march(2), category="REFERRAL")])
    workspace.build(*KEPT)
    workspace.build(*DAILY, rules=replace(DEFAULT_RULES, positive_replies=("REFERRAL",), neutral_replies=()))
    assert workspace.daily()[DAY_2]["unique_positive_replies"] == 1
    assert workspace.daily()[DAY_2]["total_positive_replies"] == 1
    no_interest = replace(DEFAULT_RULES, positive_replies=(), neutral_replies=(), bounced_replies=("REFERRAL",))
    workspace.build(rules=no_interest)
    day = workspace.daily()[DAY_2]
    assert (day["unique_positive_replies"], day["total_positive_replies"]) == (0, 0)
    assert (day["unique_replies"], day["unique_valid_replies"], day["total_valid_replies"]) == (1, 0, 0)


def test_each_load_is_noted_once_for_each_incremental_table(workspace: Workspace) -> None:
    for _ in range(2):
        workspace.land_all([enrolled(march(1)), sent(march(2))])
        workspace.build(*KEPT)
        workspace.stale |= {DAY_1, DAY_2}
        workspace.build(*KEPT)
    noted = "SELECT table_name, count(*), count(DISTINCT load_id) FROM engagement.builds GROUP BY ALL ORDER BY ALL"
    assert workspace.select(noted) == [(table, 4, 4) for table in sorted(KEPT)]


def test_a_build_that_is_rolled_back_is_not_noted(workspace: Workspace) -> None:
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
    workspace.build()
    before = workspace.all_rows()
    workspace.land_all(activities)
    workspace.build()
    assert workspace.all_rows() == before


def test_a_daily_build_touches_only_the_days_that_it_is_given(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), enrolled(march(2), "B")])
    with workspace.warehouse.transaction() as connection:
        built = build(
            connection, tables()["sequence_activity"], timezone="UTC", now=workspace.now, days=[DAY_2, date(2026, 3, 9)]
        )
    assert built.rows_by_day == {DAY_2: 1}  # the 9th was never landed
    assert {row["day"] for row in workspace.rows("sequence_activity")} == {DAY_2}


@pytest.mark.parametrize("name", INCREMENTAL)
def test_a_table_made_before_anything_landed_takes_on_columns_that_its_sql_gained_since(
    workspace: Workspace, name: str
) -> None:
    today = tables()[name]
    creates = today.sql.partition(";")[0].replace("person", "somebody")
    older = replace(today, sql=f"{creates};\nCOMMENT ON TABLE engagement.{name} IS 'of its time';\n")
    workspace.land_all([enrolled(march(1)), sent(march(1))])
    with workspace.warehouse.transaction() as connection:
        for table in (older, today):
            built = build(connection, table, timezone="UTC", now=CLOCK_STARTS, days=[DAY_1])
    assert built.rows > 0
    assert not any(column.name.startswith("somebody") for column in built.columns)


def cohorts_written(workspace: Workspace, rules: Rules = DEFAULT_RULES) -> set[tuple[str | None, date, str]]:
    """Build the cohorts; return the sequence, day and axis of the rows that this wrote."""
    with workspace.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_cohorts SET maturity = -1")
    workspace.build(*COHORTS, rules=rules)
    rows = workspace.rows("sequence_cohorts")
    return {(row["sequence_template_id"], row["cohort_day"], row["axis"]) for row in rows if row["maturity"] != -1}


def test_of_the_cohorts_only_those_that_have_changed_are_written(anywhere: Workspace) -> None:
    first, then = sent(march(1), sequence=None), sent(march(2), "B")
    anywhere.land_all([enrolled(march(1)), first, enrolled(march(2), "B"), then], march(50).date())
    anywhere.build(*COHORTS)
    assert cohorts_written(anywhere) == set()
    anywhere.land(march(51).date(), [replied(march(51), "B")])  # late: it counts to date alone
    assert cohorts_written(anywhere) == {(uid("outbound"), DAY_2, axis) for axis in AXES}


def test_a_cohort_is_written_where_time_alone_closed_its_window_and_where_a_day_of_it_is_missing(
    workspace: Workspace,
) -> None:
    rules = Rules(censored_days=0, reply_window_days=3)
    workspace.land_all([sent(march(1)), sent(march(5), "B")], *(march(day).date() for day in range(1, 7)))
    workspace.build(*COHORTS, rules=rules)
    workspace.land(march(7).date(), [])
    assert cohorts_written(workspace, rules) == set()
    workspace.land(march(9).date(), [])  # not the 8th
    assert cohorts_written(workspace, rules) == {(uid("outbound"), march(5).date(), "sent")}
    assert (workspace.cohorts()[march(5).date()]["eligible"], workspace.cohorts()[march(5).date()]["days_missing"]) == (
        1,
        1,
    )
    workspace.land(march(8).date(), [])
    assert cohorts_written(workspace, rules) == {(uid("outbound"), march(5).date(), "sent")}
    assert workspace.cohorts()[march(5).date()]["days_missing"] == 0


def test_cohorts_are_counted_anew_where_the_runs_were_made_anew(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1)), enrolled(march(2), "B")])
    workspace.build(*COHORTS)
    workspace.build("sequence_runs", full_refresh=True)
    of_all = {(uid("outbound"), day, "enrolled") for day in (DAY_1, DAY_2)} | {(uid("outbound"), DAY_1, "sent")}
    assert cohorts_written(workspace) == of_all


def test_firsts_are_counted_where_they_lie_and_no_longer_where_they_lay(anywhere: Workspace) -> None:
    anywhere.land_all([enrolled(march(1)), sent(march(2)), sent(march(3)), sent(march(2), "B")])
    anywhere.build("sequence_runs")
    anywhere.land(DAY_2, [sent(march(2), "B")])
    anywhere.build("sequence_runs")
    firsts = anywhere.select(
        "SELECT day, unique_found, unique_sent, runs_begun FROM engagement.sequence_firsts ORDER BY day"
    )
    assert firsts == [(DAY_1, 1, 0, 1), (DAY_2, 0, 0, 1), (date(2026, 3, 3), 0, 1, 0)]


def test_a_cohort_that_is_gone_or_not_of_any_sequence_is_told_as_one_that_changed(workspace: Workspace) -> None:
    nobodys = {"sequence": None}
    workspace.land_all([sent(march(1), "A", **nobodys), sent(march(1), "B"), sent(march(2), "C", **nobodys)])
    workspace.build(*COHORTS, rules=Rules(censored_days=0))
    workspace.land_all([sent(march(1), "A", **nobodys), sent(march(1), "D", **nobodys), sent(march(2), "C", **nobodys)])
    assert cohorts_written(workspace, Rules(censored_days=0)) == {(None, DAY_1, "sent")}
    days = [(row["sequence_template_id"], row["cohort_day"]) for row in workspace.rows("sequence_cohorts")]
    assert sorted(days) == [(None, DAY_1), (None, DAY_2)]


def test_cohorts_of_the_same_counts_are_written_whole_where_what_makes_their_rates_has_changed(
    workspace: Workspace,
) -> None:
    workspace.land_all([enrolled(march(1)), sent(march(1))], march(50).date())
    workspace.build(*COHORTS)
    assert cohorts_written(workspace, Rules(evidence_small=1)) == {(uid("outbound"), DAY_1, axis) for axis in AXES}
    assert workspace.cohorts()[DAY_1]["reply_rate_evidence"] == "directional"
