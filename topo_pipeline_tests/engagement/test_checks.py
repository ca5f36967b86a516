"""What the checks of the tables find, each on a workspace where all is well but one thing."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest

from topo_pipeline.engagement.checks import CHECKS, Recorded, Verdict, checks_of, evaluate
from topo_pipeline.engagement.tables import tables
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, opened, replied, sent, uid

NOW = march(8)
DUE = march(7).date()
LAST_DAY = date(2026, 4, 30)
# Columns and tables that these checks need and this workspace may not have.
NEEDED = (
    "ALTER TABLE engagement.sequence_daily ADD COLUMN IF NOT EXISTS is_volume_anomaly BOOLEAN",
    "ALTER TABLE engagement.sequence_summary ADD COLUMN IF NOT EXISTS is_silent BOOLEAN",
    "CREATE TABLE IF NOT EXISTS engagement.sequence_channels AS"
    " SELECT sequence_template_id, 'EMAIL' AS channel, false AS tracking_off FROM engagement.sequence_summary",
)
GOOD = [
    *(enrolled(march(1), run) for run in "ABC"),
    *(sent(march(2), run) for run in "ABC"),
    opened(march(3), "A"),
    replied(march(4), "A", category="MEETING"),
    replied(march(7), "B"),
    Activity("sequence_step.skipped", march(5), "C", step=2),
    opened(march(2), "never seen enrolled"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test leaves other than it was."""
    return prepared(Workspace(str(tmp_path_factory.mktemp("good") / "topo.duckdb")))


def prepared(workspace: Workspace, *more: Activity) -> Workspace:
    workspace.land_all([*GOOD, *more], march(5).date(), march(6).date(), LAST_DAY)
    workspace.name(outbound="Outbound")
    workspace.build()
    run(workspace, *NEEDED)
    return workspace


def run(workspace: Workspace, *statements: str) -> None:
    with workspace.warehouse.transaction() as connection:
        for statement in statements:
            connection.execute(statement)


class _TakenBack(Exception):
    pass


def verdicts(workspace: Workspace, *wrong: str, recorded: Sequence[Recorded] | None = None) -> dict[str, Verdict]:
    """What every check of every table says after these statements, which are then taken back.

    Dagster has recorded what was landed before them, where nothing else is said.
    """
    checked = dict.fromkeys([*(check.table for check in CHECKS), *(f"engagement.{name}" for name in tables())])
    said = {}
    with suppress(_TakenBack), workspace.warehouse.transaction() as connection:
        if recorded is None:
            landed = connection.execute("SELECT day, load_id::VARCHAR FROM landed_days").fetchall()
            recorded = [Recorded(*row) for row in landed]
        for statement in wrong:
            connection.execute(statement)
        for table in checked:
            for check, verdict in evaluate(connection, table, now=NOW, due=DUE, recorded=recorded):
                said[f"{table}.{check.name}"] = verdict
        raise _TakenBack
    return said


def found(
    workspace: Workspace, *wrong: str, recorded: Sequence[Recorded] | None = None
) -> dict[str, tuple[int | None, tuple[str, ...]]]:
    """The checks that did not pass, with their rows and examples."""
    return {
        name.removeprefix("engagement.").removeprefix("topo."): (verdict.rows, verdict.examples)
        for name, verdict in verdicts(workspace, *wrong, recorded=recorded).items()
        if not verdict.passed
    }


def assert_that_all_is_well(workspace: Workspace) -> None:
    said = verdicts(workspace)
    assert {name: verdict.sentence for name, verdict in said.items() if not verdict.passed} == {}
    assert {verdict.rows for verdict in said.values()} == {0}
    assert said["engagement.sequence_daily.key_is_unique"].sentence == "One row per sequence_template_id, day."


def test_where_all_is_well_every_check_passes_and_says_what_holds(good: Workspace) -> None:
    assert_that_all_is_well(good)


@pytest.mark.full
def test_where_all_is_well_in_a_lake_every_check_passes(lake: Workspace) -> None:
    assert_that_all_is_well(prepared(lake))


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
        ("sequence_runs.actions_are_kept_once", "DELETE FROM engagement.sequence_actions", 3, "Outbound"),
        (
            "sequence_daily.uniques_are_within_totals",
            "UPDATE engagement.sequence_daily SET total_sent = total_sent - 1 WHERE total_sent > 0",
            1,
            "sent of Outbound",
        ),
        (
            "sequence_daily.uniques_add_up_to_runs",
            "UPDATE engagement.sequence_daily SET unique_opens = 0",
            1,
            "unique_opens of Outbound",
        ),
        (
            "sequence_daily.volume_is_as_usual",
            "UPDATE engagement.sequence_daily SET is_volume_anomaly = day IN ('2026-03-02', '2026-04-30')",
            1,
            "Outbound on 2026-04-30",
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
def test_a_check_finds_what_is_wrong_and_no_other_does(
    good: Workspace, check: str, wrong: str, rows: int, example: str
) -> None:
    assert found(good, wrong) == {check: (rows, (example,))}


DAYS = ("activities.yesterday_is_landed", "activities.no_day_is_missing", "activities.ledger_agrees_with_dagster")


def test_a_day_that_is_not_there_is_missing_and_missed_where_it_is_yesterday(good: Workspace) -> None:
    yesterday = {check: (1, (str(DUE),)) for check in DAYS}
    assert found(good, "DELETE FROM topo.loads WHERE day = '2026-03-07'") == yesterday
    within = {check: (2, ("2026-03-05", "2026-03-02")) for check in DAYS[1:]}
    assert found(good, "DELETE FROM topo.loads WHERE day IN ('2026-03-02', '2026-03-05')") == within


def test_no_day_before_the_first_landed_one_is_missed(good: Workspace) -> None:
    assert set(found(good, "DELETE FROM topo.loads WHERE day < '2026-03-04'")) == {DAYS[2]}
    assert set(found(good, "DELETE FROM topo.loads WHERE day <= '2026-03-07'")) == {DAYS[2]}


def test_where_nothing_ever_landed_yesterday_is_missed(good: Workspace) -> None:
    assert found(good, "DELETE FROM topo.loads")[DAYS[0]] == (1, (str(DUE),))


def test_what_dagster_has_recorded_and_the_ledger_has_not_is_told_as_well_as_the_other_way_round(
    good: Workspace,
) -> None:
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


def test_days_that_did_not_land_when_they_were_last_read_are_told(good: Workspace) -> None:
    landed = good.select("SELECT day, load_id::VARCHAR, day IN ('2026-03-02', '2026-03-05') FROM landed_days")
    said = found(good, recorded=[*(Recorded(*row) for row in landed), Recorded(march(9).date(), None, failed=True)])
    assert said == {"activities.last_reading_landed": (3, ("2026-03-09", "2026-03-05", "2026-03-02"))}


def test_a_key_that_occurs_twice_is_found_in_every_table(good: Workspace) -> None:
    again = [f"INSERT INTO engagement.{table} FROM engagement.{table} LIMIT 1" for table in tables()]  # noqa: S608
    said = {name: rows for name, rows in found(good, *again).items() if name.endswith(".key_is_unique")}
    assert said == {f"{table}.key_is_unique": (1, ("Outbound",)) for table in tables()}


@pytest.mark.parametrize(
    "wrong", ["{m}_num = 1, {m}_den = 0", "{m}_num = -1", "{m} = 1.01", "{m}_low = 2", "{m}_high = -1"]
)
def test_each_rate_of_every_table_is_found_where_it_is_no_share(good: Workspace, wrong: str) -> None:
    rates = {
        name: [
            rate
            for rate in (column.removesuffix("_num") for column in table.columns if column.endswith("_num"))
            if wrong.format(m=rate).partition(" ")[0] in table.columns
        ]
        for name, table in tables().items()
    }
    rated = {name: names for name, names in rates.items() if names}
    assert "reply_rate" in rated["sequence_summary"]
    changes = {name: ", ".join(wrong.format(m=rate) for rate in names) for name, names in rated.items()}
    said = found(good, *(f"UPDATE engagement.{name} SET {change}" for name, change in changes.items()))  # noqa: S608
    assert {name.partition(".")[0]: set(examples) for name, (_, examples) in said.items()} == {
        name: {f"{rate} of Outbound" for rate in names} for name, names in rated.items()
    }


def test_a_rate_without_bounds_is_held_to_0_and_1_all_the_same(good: Workspace) -> None:
    unbounded = [
        f"ALTER TABLE engagement.sequence_summary DROP COLUMN meeting_rate_{bound}" for bound in ("low", "high")
    ]
    assert found(good, *unbounded) == {}
    wrong = "UPDATE engagement.sequence_summary SET meeting_rate = 1.01"
    rows, examples = found(good, *unbounded, wrong)["sequence_summary.rates_are_shares"]
    assert (rows, examples) == (len(good.rows("sequence_summary")), ("meeting_rate of Outbound",))


def test_a_rate_that_is_not_told_is_nothing_wrong(good: Workspace) -> None:
    nothing = "UPDATE engagement.sequence_summary SET reply_rate = NULL, reply_rate_low = NULL, reply_rate_high = NULL"
    assert found(good, nothing) == {}


def test_activities_that_count_nowhere_and_replies_pending_for_72_hours_are_found_by_day(
    workspace: Workspace,
) -> None:
    limit = NOW - timedelta(hours=72)
    late, in_time = replied(limit - timedelta(seconds=1), "C"), replied(limit, "C")
    orphans = [*(opened(march(day), run=None) for day in (2, 5)), opened(march(5), None, salt="2")]
    strange = Activity("message.teleported", march(3))
    prepared(workspace, *orphans, strange, late, in_time, replied(march(3), "C", category="INTERESTED"))
    assert found(workspace) == {
        "sequence_activity.every_activity_has_a_run": (2, ("2026-03-05 (2)", "2026-03-02 (1)")),
        "sequence_activity.every_type_is_known": (1, ("2026-03-03 (1)",)),
        "sequence_activity.replies_are_classified_within_72_hours": (1, (str(late.created_at.date()),)),
    }


def test_a_sequence_without_a_name_is_told_by_its_id_and_a_name_can_do_no_harm(workspace: Workspace) -> None:
    prepared(workspace, sent(march(2), "D", sequence="nameless"), sent(march(2), "E", sequence="hostile"))
    workspace.name(hostile="\x1b[31mred\n2026-99-99 \u202e" + "x" * 500)
    run(workspace, "UPDATE engagement.sequence_summary SET is_silent = true")
    verdict = verdicts(workspace)["engagement.sequence_summary.no_sequence_is_silent"]
    hostile = f"[31mred 2026-99-99 {'x' * 500}"
    assert set(verdict.examples) == {"Outbound", uid("nameless"), f"{hostile[:79]}…"}


def test_many_are_told_by_number_and_the_first_few(good: Workspace) -> None:
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


def test_a_table_that_is_not_there_yet_or_lacks_a_column_is_said_to_be_built_first(
    good: Workspace, tmp_path: Path
) -> None:
    workspace = Workspace(str(shutil.copy(good.target, tmp_path)))
    run(workspace, "DROP TABLE engagement.sequence_runs", "ALTER TABLE engagement.sequence_daily DROP COLUMN day")
    said = verdicts(workspace)
    for name in (
        "sequence_runs.key_is_unique",
        "sequence_daily.key_is_unique",
        "sequence_daily.uniques_add_up_to_runs",
    ):
        verdict = said[f"engagement.{name}"]
        assert (verdict.passed, verdict.severity, verdict.rows) == (False, "WARN", None)
        assert verdict.sentence.startswith("Could not run. Build the tables of this check first: ")
        assert "\n" not in verdict.sentence


def test_what_only_our_code_can_get_wrong_and_a_lost_warehouse_are_errors_and_the_rest_are_warnings() -> None:
    checks = [check for name in tables() for check in checks_of(f"engagement.{name}")] + checks_of("topo.activities")
    errors = {check.name for check in checks if check.severity == "ERROR"}
    ours = {"key_is_unique", "rates_are_shares", "uniques_add_up_to_runs", "actions_are_kept_once"}
    assert errors == ours | {"ledger_agrees_with_dagster"}
    assert len({(check.table, check.name) for check in checks}) == len(checks)
