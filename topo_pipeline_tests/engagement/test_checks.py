"""The checks of the tables, each in a workspace that has one problem."""

import functools
import re
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from topo_pipeline.engagement.checks import CHECKS, checks_of
from topo_pipeline.engagement.tables import tables
from topo_pipeline.engagement.verdicts import Check, Recorded, Verdict, evaluate
from topo_pipeline_tests.engagement.helpers import (
    TABLES,
    Activity,
    Workspace,
    enrolled,
    march,
    opened,
    replied,
    sent,
    uid,
)

NOW = march(8)
DUE = march(7).date()
LAST_DAY = date(2026, 4, 30)
NAMES = re.compile(r"\b(?:topo|engagement)\.\w+|\blanded_days\b|\brecorded_days\b")
GOOD = [
    *(enrolled(march(1), run) for run in "ABCD"),
    *(sent(march(2), run) for run in "ABC"),
    Activity("invitation.sent", march(2), "D"),
    opened(march(3), "A"),
    replied(march(4), "A", category="MEETING"),
    # B's first reply is automatic, so the unique counts of the 7th don't nest.
    replied(march(5), "B", category="OUT_OF_OFFICE"),
    replied(march(7), "B"),
    Activity("sequence_step.skipped", march(5), "C", step=2),
    opened(march(2, 9, 0, 5), "C"),
    *(Activity(type_, march(6), "C") for type_ in ("hot_lead.created", "meeting.created")),
    opened(march(2), "never seen enrolled"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace without a problem. The tests don't change it."""
    return prepared(Workspace(str(tmp_path_factory.mktemp("good") / "topo.duckdb")))


def prepared(workspace: Workspace, *more: Activity) -> Workspace:
    workspace.land_all([*GOOD, *more], march(5).date(), march(6).date(), LAST_DAY)
    workspace.name(outbound="Outbound")
    workspace.build()
    return workspace


def run(workspace: Workspace, *statements: str) -> None:
    with workspace.warehouse.transaction() as connection:
        for statement in statements:
            connection.execute(statement)


@functools.cache
def known_checks(table: str) -> list[Check]:
    return checks_of(table)


def tables_in(sql: str) -> set[str]:
    return {"topo.loads" if name == "landed_days" else name for name in NAMES.findall(sql)}


def read_by(check: Check) -> set[str]:
    """Return the tables that a check reads. A query that depends on the columns reads only the check's own table."""
    return tables_in(check.sql) if isinstance(check.sql, str) else {check.table}


def verdicts(
    workspace: Workspace, *wrong: str, recorded: Sequence[Recorded] | None = None, of: Collection[str] = TABLES
) -> dict[str, Verdict]:
    """Return the verdicts after these statements, and roll the statements back.

    Without statements and records, these are the verdicts of every check of every table. Otherwise they are those of
    the checks that read a changed table. The others would say the same as before.

    Dagster's records agree with the loads before the statements, unless `recorded` has others. Only the tables `of` are
    made, and the checks of other tables are left out.
    """
    others = {f"engagement.{name}" for name in TABLES if name not in of}
    checked = dict.fromkeys([*(check.table for check in CHECKS), *(f"engagement.{name}" for name in TABLES)])
    changed = tables_in(" ".join(wrong)) | ({"recorded_days"} if recorded is not None else set())
    said = {}
    with workspace.seeing(*of):
        pass
    with Workspace(workspace.target).warehouse.transaction() as connection:
        if recorded is None:
            landed = connection.execute("SELECT day, load_id::VARCHAR FROM landed_days").fetchall()
            recorded = [Recorded(*row) for row in landed]
        for statement in wrong:
            connection.execute(statement)
        checks = [check for table in checked if table not in others for check in known_checks(table)]
        concerned = [check for check in checks if not changed or changed & read_by(check)]
        for check, verdict in evaluate(connection, concerned, now=NOW, due=DUE, recorded=recorded):
            said[f"{check.table}.{check.name}"] = verdict
        connection.rollback()
        connection.begin()  # an error would end the transaction too, and DuckDB's instance with it
    return said


def found(
    workspace: Workspace, *wrong: str, recorded: Sequence[Recorded] | None = None, of: Collection[str] = TABLES
) -> dict[str, tuple[int | None, tuple[str, ...]]]:
    """Return the checks that did not pass, with their rows and examples."""
    return {
        name.removeprefix("engagement.").removeprefix("topo."): (verdict.rows, verdict.examples)
        for name, verdict in verdicts(workspace, *wrong, recorded=recorded, of=of).items()
        if not verdict.passed
    }


def assert_that_all_pass(workspace: Workspace) -> None:
    said = verdicts(workspace)
    assert {name: verdict.sentence for name, verdict in said.items() if not verdict.passed} == {}
    assert {verdict.rows for verdict in said.values()} == {0}
    assert said["engagement.sequence_daily.key_is_unique"].sentence == "One row per sequence_template_id, day."
    assert said["engagement.workspace_daily.key_is_unique"].sentence == "One row per day."


def test_without_a_problem_every_check_passes_and_says_what_holds(good: Workspace) -> None:
    assert_that_all_pass(good)


@pytest.mark.full
def test_without_a_problem_every_check_passes_in_a_lake(lake: Workspace) -> None:
    assert_that_all_pass(prepared(lake))


@pytest.mark.parametrize(
    ("check", "wrong", "rows", "example"),
    [
        (
            "activities.every_row_is_readable",
            "UPDATE topo.loads SET rejects = 3 WHERE day = '2026-03-02'",
            1,
            "2026-03-02 (3)",
        ),
        ("activities.every_day_is_proved", "UPDATE topo.loads SET proved = day <> '2026-03-02'", 1, "2026-03-02"),
        (
            "activities.every_day_is_closed",
            "UPDATE topo.loads SET is_open = day IN ('2026-03-07', '2026-03-08', '2026-04-30')",
            1,
            "2026-03-07",
        ),
        (
            "activities.ledger_agrees_with_dagster",
            "UPDATE topo.loads SET load_id = gen_random_uuid() WHERE day = '2026-03-03'",
            1,
            "2026-03-03",
        ),
        (
            "activities.each_activity_is_landed_once",
            "INSERT INTO topo.activities SELECT * REPLACE (day + 1 AS day) FROM topo.activities"
            " WHERE type = 'message.opened' AND day = '2026-03-03'",
            1,
            "2026-03-03 and 2026-03-04",
        ),
        (
            "sequence_runs.actions_are_kept_once",
            "INSERT INTO engagement.sequence_actions FROM engagement.sequence_actions LIMIT 1",
            1,
            "Outbound",
        ),
        (
            "sequence_runs.actions_are_kept_once",
            "DELETE FROM engagement.sequence_actions WHERE type = 'sequence_step.skipped'",
            1,
            "Outbound",
        ),
        (
            "sequence_runs.actions_are_kept_once",
            "INSERT INTO engagement.sequence_actions BY NAME SELECT 'task.created' AS type, uuid() AS sequence_id",
            1,
            "(no sequence)",
        ),
        ("sequence_runs.actions_are_kept_once", "DELETE FROM engagement.sequence_actions", 4, "Outbound"),
        (
            "sequence_runs.responses_are_kept_once",
            "DELETE FROM engagement.sequence_responses WHERE class = 'out_of_office'",
            1,
            "Outbound",
        ),
        (
            "sequence_runs.responses_are_kept_once",
            "INSERT INTO engagement.sequence_responses FROM engagement.sequence_responses"
            " WHERE type = 'message.opened'",
            1,
            "Outbound",
        ),
        (
            "sequence_runs.responses_are_kept_once",
            "DELETE FROM engagement.sequence_responses WHERE type = 'hot_lead.created'",
            1,
            "Outbound",
        ),
        (
            "sequence_runs.responses_are_kept_once",
            "UPDATE engagement.sequence_responses SET responded_at = responded_at + INTERVAL 1 HOUR"
            " WHERE type = 'meeting.created'",
            1,
            "Outbound",
        ),
        (
            "sequence_runs.responses_are_kept_once",
            "INSERT INTO engagement.sequence_responses BY NAME"
            " SELECT 'hot_lead.created' AS type, uuid() AS sequence_id",
            1,
            "(no sequence)",
        ),
        (
            "sequence_daily.uniques_are_within_totals",
            "UPDATE engagement.sequence_daily SET total_opens = 0",
            1,
            "unique_opens of Outbound",
        ),
        (
            "sequence_summary.uniques_are_within_totals",
            "UPDATE engagement.sequence_summary SET total_opens = 0",
            1,
            "unique_opens of Outbound",
        ),
        (
            "workspace_daily.uniques_are_within_totals",
            "UPDATE engagement.workspace_daily SET total_opens = 0",
            1,
            "unique_opens of all sequences",
        ),
        (
            "workspace_weekly.uniques_are_within_totals",
            "UPDATE engagement.workspace_weekly SET total_opens = 0",
            1,
            "unique_opens of all sequences",
        ),
        (
            "sequence_cohorts.outcomes_add_up_to_eligible",
            "UPDATE engagement.sequence_cohorts SET outcome_none = outcome_none + 1",
            1,
            "outcomes of Outbound",
        ),
        (
            "sequence_summary.outcomes_add_up_to_eligible",
            "UPDATE engagement.sequence_summary SET outcome_none = outcome_none + 1 WHERE period = '7d'",
            1,
            "outcomes of Outbound",
        ),
        # The 8th is unknown: it lies in the window of 7 days, and not in the one of 3 days.
        (
            "sequence_cohorts.early_windows_are_known",
            "UPDATE engagement.sequence_cohorts SET eligible_7d = 1 WHERE axis = 'touched'",
            1,
            "eligible_7d of Outbound on 2026-03-02",
        ),
        (
            "sequence_daily.uniques_add_up_to_runs",
            "UPDATE engagement.sequence_daily SET unique_opens = 0",
            1,
            "unique_opens of Outbound",
        ),
        (
            "sequence_daily.volume_is_as_usual",
            "UPDATE engagement.sequence_daily SET sent_expected = 10.5,"
            " is_volume_anomaly = day IN ('2026-03-02', '2026-04-30')",
            1,
            "Outbound on 2026-04-30 (usually 11)",
        ),
        (
            "sequence_volumes.volume_is_as_usual",
            "UPDATE engagement.sequence_volumes SET total_sent = 12, sent_usual = 40, threshold = 20,"
            " volume_signal = 'down' WHERE scope = 'sequence'",
            1,
            "Outbound sent 12 in the week of 2026-04-20 (usually 40)",
        ),
        (
            "sequence_signals.no_reply_rate_has_fallen",
            "UPDATE engagement.sequence_signals SET signal = if(scope = 'sequence', 'down', 'up'), current_replies = 3,"
            " current_worth = 50, baseline_worth = 100, baseline_replies = 20, common_change = 0.9",
            1,
            "Outbound: 3 replies, about 9 expected",
        ),
        (
            "workspace_daily.volume_is_as_usual",
            "UPDATE engagement.workspace_daily SET sent_expected = 10.5,"
            " is_volume_anomaly = day IN ('2026-03-02', '2026-04-30')",
            1,
            "2026-04-30 (usually 11)",
        ),
        (
            "sequence_summary.no_sequence_is_silent",
            "UPDATE engagement.sequence_summary SET is_silent = true",
            1,
            "Outbound",
        ),
        (
            "sequence_channels.tracking_is_on",
            "UPDATE engagement.sequence_channels SET tracking_off = true",
            1,
            "Outbound",
        ),
    ],
)
def test_a_check_finds_its_problem_and_the_others_pass(
    good: Workspace, check: str, wrong: str, rows: int, example: str
) -> None:
    assert found(good, wrong) == {check: (rows, (example,))}


DAYS = ("activities.yesterday_is_landed", "activities.no_day_is_missing", "activities.ledger_agrees_with_dagster")


def test_a_day_that_has_not_landed_is_missing_and_overdue_if_it_is_yesterday(good: Workspace) -> None:
    yesterday = {check: (1, (str(DUE),)) for check in DAYS}
    assert found(good, "DELETE FROM topo.loads WHERE day = '2026-03-07'") == yesterday
    within = {check: (2, ("2026-03-05", "2026-03-02")) for check in DAYS[1:]}
    assert found(good, "DELETE FROM topo.loads WHERE day IN ('2026-03-02', '2026-03-05')") == within


def test_days_before_the_first_landed_one_are_not_missing(good: Workspace) -> None:
    assert set(found(good, "DELETE FROM topo.loads WHERE day < '2026-03-04'")) == {DAYS[2]}
    assert set(found(good, "DELETE FROM topo.loads WHERE day <= '2026-03-07'")) == {DAYS[2]}


def test_without_a_landed_day_yesterday_is_overdue(good: Workspace) -> None:
    assert found(good, "DELETE FROM topo.loads")[DAYS[0]] == (1, (str(DUE),))


def test_days_that_only_dagster_or_only_the_ledger_has_are_found(good: Workspace) -> None:
    [(load_id,)] = good.select("SELECT load_id::VARCHAR FROM landed_days WHERE day = '2026-03-02'")
    recorded = [
        Recorded(march(2).date(), load_id),
        Recorded(march(3).date(), "another load"),
        Recorded(march(9).date(), "a load"),
        Recorded(march(10).date(), None, failed=True),
    ]
    said = found(good, "DELETE FROM topo.loads WHERE day IN ('2026-03-04', '2026-04-30')", recorded=recorded)
    expected = tuple(str(march(day).date()) for day in (9, 7, 6, 5, 3, 1))
    assert said["activities.ledger_agrees_with_dagster"] == (6, expected)


def test_days_whose_last_attempt_failed_are_found(good: Workspace) -> None:
    landed = good.select("SELECT day, load_id::VARCHAR, day IN ('2026-03-02', '2026-03-05') FROM landed_days")
    said = found(good, recorded=[*(Recorded(*row) for row in landed), Recorded(march(9).date(), None, failed=True)])
    assert said == {"activities.last_reading_landed": (3, ("2026-03-09", "2026-03-05", "2026-03-02"))}


def test_a_key_that_occurs_twice_is_found_in_every_table(good: Workspace) -> None:
    again = [
        f"INSERT INTO engagement.{table} FROM (FROM engagement.{table} ORDER BY {tables()[table].grain[0]} LIMIT 1)"  # noqa: S608
        for table in tables()
    ]
    said = {name: rows for name, rows in found(good, *again).items() if name.endswith(".key_is_unique")}
    firsts = {
        **{"workspace_daily": "2026-03-01", "workspace_weekly": "2026-02-23"},
        **{"reply_timing": "meeting", "sequence_forecast": "the workspace"},
    }
    assert said == {f"{table}.key_is_unique": (1, (firsts.get(table, "Outbound"),)) for table in tables()}


def denominator(rate: str, columns: list[str]) -> str:
    """Return the denominator of a rate. In sequence_cohorts, early windows have one of their own for two rates."""
    return f"{rate}_den" if f"{rate}_den" in columns else f"eligible_{rate.rpartition('_')[2]}"


@pytest.mark.parametrize(
    "wrong", ["{m}_num = 1, {den} = 0", "{m}_num = -1", "{m} = 1.01", "{m}_low = 2", "{m}_high = -1"]
)
def test_a_rate_that_is_no_share_is_found_in_every_table(good: Workspace, wrong: str) -> None:
    rates = {
        name: [
            rate
            for rate in (column.removesuffix("_num") for column in table.columns if column.endswith("_num"))
            if wrong.format(m=rate, den="").partition(" ")[0] in table.columns
        ]
        for name, table in tables().items()
    }
    rated = {name: names for name, names in rates.items() if names}
    assert "reply_rate" in rated["sequence_summary"]
    assert rated.keys() >= {"sequence_timing", "workspace_daily", "workspace_weekly"}
    statements = []
    for name, names in rated.items():
        # Two rates of a cohort share a denominator, which can be set only once.
        changes = {
            change.partition(" = ")[0]: change
            for rate in names
            for change in wrong.format(m=rate, den=denominator(rate, tables()[name].columns)).split(", ")
        }
        # One day of the workspace's, because a verdict keeps no more than a hundred examples.
        where = " WHERE day = '2026-03-02'" if name == "workspace_daily" else ""
        statements.append(f"UPDATE engagement.{name} SET {', '.join(changes.values())}{where}")  # noqa: S608
    said = found(good, *statements)
    named = {name.partition(".")[0]: {example.partition(" of ")[0] for example in it} for name, (_, it) in said.items()}
    assert {name for name in said if not name.endswith(".rates_are_shares")} == set()
    assert named == {name: set(names) for name, names in rated.items()}


def test_a_rate_without_bounds_must_be_between_0_and_1_too(good: Workspace) -> None:
    unbounded = [
        f"ALTER TABLE engagement.sequence_summary DROP COLUMN meeting_rate_{bound}" for bound in ("low", "high")
    ]
    assert found(good, *unbounded) == {}
    wrong = "UPDATE engagement.sequence_summary SET meeting_rate = 1.01"
    rows, examples = found(good, *unbounded, wrong)["sequence_summary.rates_are_shares"]
    assert (rows, examples) == (len(good.rows("sequence_summary")), ("meeting_rate of Outbound",))


def test_a_rate_that_is_null_is_no_problem(good: Workspace) -> None:
    nothing = "UPDATE engagement.sequence_summary SET reply_rate = NULL, reply_rate_low = NULL, reply_rate_high = NULL"
    assert found(good, nothing) == {}


EARLY = (3, 7, 14)
TOTALS = {"total_positive_replies": "total_valid_replies"}
COHORTS = {"positive_reply_rate_num": "reply_rate_num"}
SUMMED = {f"positive_reply_rate_{days}d_num": f"reply_rate_{days}d_num" for days in EARLY}
# For each table: the counts of positive replies, and the count that each cannot be above.
POSITIVE = {
    "sequence_activity": TOTALS,
    "sequence_daily": TOTALS,
    "sequence_summary": TOTALS | {"unique_positive_replies": "unique_valid_replies"} | COHORTS | SUMMED,
    "sequence_cohorts": COHORTS
    | {"positive_replies_to_date": "replies_to_date"}
    | {f"positive_reply_{days}d_num": f"reply_{days}d_num" for days in EARLY},
    "sequence_trends": SUMMED,
    "workspace_daily": TOTALS | COHORTS | SUMMED,
    "workspace_weekly": TOTALS | COHORTS | SUMMED,
}
ANY_TOTALS, ANY_COHORTS = {"total_valid_replies": "total_replies"}, {"reply_rate_num": "reply_rate_all_num"}
# The same for valid replies and replies of any kind.
VALID = {
    "sequence_activity": ANY_TOTALS,
    "sequence_daily": ANY_TOTALS,
    "sequence_summary": ANY_TOTALS | {"unique_valid_replies": "unique_replies"} | ANY_COHORTS,
    "sequence_cohorts": ANY_COHORTS,
    "workspace_daily": ANY_TOTALS | ANY_COHORTS,
    "workspace_weekly": ANY_TOTALS | ANY_COHORTS,
}


@pytest.mark.parametrize("nested", [POSITIVE, VALID], ids=["positive", "valid"])
def test_replies_that_do_not_nest_are_found_in_every_table(good: Workspace, nested: dict[str, dict[str, str]]) -> None:
    wrong = [
        f"UPDATE engagement.{table} SET {', '.join(f'{narrow} = {wide} + 1' for narrow, wide in pairs.items())}"  # noqa: S608
        for table, pairs in nested.items()
    ]
    said = found(good, *wrong)
    for table, pairs in nested.items():
        rows, examples = said[f"{table}.replies_nest"]
        assert {example.partition(" of ")[0] for example in examples} == {*pairs}, table
        assert rows is not None
        assert rows >= len(pairs)


def test_unique_replies_of_a_day_or_a_recent_period_need_not_nest(good: Workspace) -> None:
    day = good.daily()[march(7).date()]
    assert (day["unique_replies"], day["unique_valid_replies"]) == (0, 1)
    recent = "UPDATE engagement.sequence_summary SET unique_valid_replies = unique_replies + 1 WHERE period {}"
    assert found(good, recent.format("<> 'lifetime'")) == {}
    assert found(good, recent.format("= 'lifetime'")).keys() == {
        "sequence_summary.replies_nest",
        "sequence_summary.uniques_are_within_totals",
    }


def test_a_touch_is_within_the_total_of_messages_and_invitations(good: Workspace) -> None:
    found_without_invitations = found(good, "UPDATE engagement.sequence_daily SET total_invitations = 0")
    assert found_without_invitations == {
        "sequence_daily.uniques_are_within_totals": (
            2,
            ("unique_invitations of Outbound", "unique_touched of Outbound"),
        )
    }


def test_totals_and_uniques_use_the_same_sequence(workspace: Workspace) -> None:
    """An activity that names no sequence counts for the only other sequence of its run."""
    prepared(workspace, enrolled(march(1), "E"), sent(march(2), "E", sequence=None), sent(march(3), "F", sequence=None))
    assert found(workspace, of=["sequence_activity", "sequence_daily", "sequence_summary"]) == {}
    assert workspace.summary()["total_sent"] == 4
    assert workspace.summary(None)["total_sent"] == 1


WITH_MEMBERS = ("sequence_cohorts", "sequence_summary", "sequence_trends", "workspace_daily", "workspace_weekly")


def test_eligible_runs_that_are_no_members_are_found_in_every_table(good: Workspace) -> None:
    wrong = [f"UPDATE engagement.{table} SET eligible = members + 1" for table in WITH_MEMBERS]  # noqa: S608
    said = {
        name: examples
        for name, (_, examples) in found(good, *wrong).items()
        if name.endswith(".eligible_runs_are_members")
    }
    assert said.keys() == {f"{table}.eligible_runs_are_members" for table in WITH_MEMBERS}
    assert {example.partition(" of ")[0] for examples in said.values() for example in examples} == {"eligible"}


@pytest.mark.parametrize(("days", "shorter"), [(3, None), (7, 3), (14, 7)])
def test_an_early_window_never_has_more_eligible_runs_than_a_shorter_one(
    good: Workspace, days: int, shorter: int | None
) -> None:
    def column(table: str, length: int | None) -> str:
        if length is None:
            return "members"
        return f"eligible_{length}d" if table == "sequence_cohorts" else f"reply_rate_{length}d_den"

    wrong = [
        f"UPDATE engagement.{table} SET {column(table, days)} = {column(table, shorter)} + 1"  # noqa: S608
        + (" WHERE period = 'lifetime'" if table == "sequence_summary" else "")
        for table in WITH_MEMBERS
    ]
    said = found(good, *wrong)
    for table in WITH_MEMBERS:
        _, examples = said[f"{table}.eligible_runs_are_members"]
        assert {example.partition(" of ")[0] for example in examples} == {column(table, days)}, table
    recent = "UPDATE engagement.sequence_summary SET reply_rate_3d_den = members + 1 WHERE period <> 'lifetime'"
    assert found(good, recent) == {}


def test_activities_that_no_table_counts_and_replies_pending_for_72_hours_are_found_by_day(
    workspace: Workspace,
) -> None:
    limit = NOW - timedelta(hours=72)
    late, in_time = replied(limit - timedelta(seconds=1), "C"), replied(limit, "C")
    orphans = [*(opened(march(day), run=None) for day in (2, 5)), opened(march(5), None, salt="2")]
    strange = Activity("message.teleported", march(3))
    prepared(workspace, *orphans, strange, late, in_time, replied(march(3), "C", category="INTERESTED"))
    assert found(workspace, of=["sequence_activity", "sequence_runs"]) == {
        "sequence_activity.every_activity_has_a_run": (2, ("2026-03-05 (2)", "2026-03-02 (1)")),
        "sequence_activity.every_type_is_known": (1, ("2026-03-03 (1)",)),
        "sequence_activity.replies_are_classified_within_72_hours": (1, (str(late.created_at.date()),)),
    }


def test_a_sequence_without_a_name_is_shown_by_its_id_and_a_hostile_name_is_cleaned(workspace: Workspace) -> None:
    workspace.name(hostile="\x1b[31mred\n2026-99-99 \u202e" + "x" * 500)
    prepared(workspace, sent(march(2), "D", sequence="nameless"), sent(march(2), "E", sequence="hostile"))
    silent = "UPDATE engagement.sequence_summary SET is_silent = true"
    verdict = verdicts(workspace, silent, of=["sequence_summary"])["engagement.sequence_summary.no_sequence_is_silent"]
    hostile = f"[31mred 2026-99-99 {'x' * 500}"
    assert set(verdict.examples) == {"Outbound", uid("nameless"), f"{hostile[:79]}…"}


def test_many_problems_are_shown_by_their_number_and_the_first_few(good: Workspace) -> None:
    again = (
        "INSERT INTO topo.loads SELECT * EXCLUDE (n) REPLACE (day + n::INTEGER AS day)"
        " FROM (SELECT * FROM topo.loads LIMIT 1), range(100, 300) AS r(n)"
    )
    verdict = verdicts(good, "UPDATE topo.loads SET proved = false", again)["topo.activities.every_day_is_proved"]
    assert verdict.sentence.partition(". Read them again: ")[0].count("2026-") == 5
    assert verdict.sentence.partition(". Read them again: ")[2].count("topo-pipeline backfill") <= 5
    assert verdict.rows is not None
    assert f"and {verdict.rows - 5} more. Read them again" in verdict.sentence
    assert len(verdict.examples) == 100


def test_a_table_that_is_missing_or_lacks_a_column_must_be_built_first(good: Workspace, tmp_path: Path) -> None:
    workspace = good.copied(tmp_path)
    run(
        workspace,
        *(
            f"DROP TABLE engagement.{table}"
            for table in ("sequence_runs", "sequence_summary", "sequence_cohorts_known")
        ),
        "ALTER TABLE engagement.sequence_daily DROP COLUMN day",
        "ALTER TABLE engagement.workspace_daily DROP COLUMN eligible",
    )
    said = verdicts(workspace)
    for name in (
        "sequence_runs.key_is_unique",
        "sequence_daily.key_is_unique",
        "sequence_daily.uniques_add_up_to_runs",
        "sequence_cohorts.early_windows_are_known",
        *(f"sequence_summary.{check.name}" for check in checks_of("engagement.sequence_summary")),
        "workspace_daily.eligible_runs_are_members",
    ):
        verdict = said[f"engagement.{name}"]
        assert (verdict.passed, verdict.severity, verdict.rows) == (False, "WARN", None)
        assert verdict.sentence.startswith("Could not run. Build the tables of this check first: ")
        assert "\n" not in verdict.sentence


def test_bugs_of_this_project_and_a_lost_warehouse_are_errors_and_the_rest_are_warnings() -> None:
    checks = [check for name in tables() for check in checks_of(f"engagement.{name}")] + checks_of("topo.activities")
    errors = {check.name for check in checks if check.severity == "ERROR"}
    assert errors == {
        "actions_are_kept_once",
        "early_windows_are_known",
        "eligible_runs_are_members",
        "key_is_unique",
        "ledger_agrees_with_dagster",
        "outcomes_add_up_to_eligible",
        "rates_are_shares",
        "replies_nest",
        "responses_are_kept_once",
        "uniques_add_up_to_runs",
        "uniques_are_within_totals",
    }
    assert len({(check.table, check.name) for check in checks}) == len(checks)
