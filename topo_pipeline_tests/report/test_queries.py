"""The report's queries, compared with counts made from the activities in Python."""

from collections import Counter
from datetime import date, datetime, timedelta

import pytest
from statsmodels.stats.proportion import proportion_confint

from topo_pipeline.engagement import macros
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report import queries
from topo_pipeline.warehouse.sql import rows
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Row,
    Workspace,
    enrolled,
    march,
    named_in,
    opened,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.report.conftest import Reported

WINDOW = timedelta(days=30)
AS_OF = march(65, 0)  # the end of the last day of the world


def first(activities: list[Activity], kind: str) -> dict[str | None, datetime]:
    """Return the time of each run's first activity of a kind."""
    found: dict[str | None, datetime] = {}
    for activity in sorted((a for a in activities if a.type == kind), key=lambda a: a.created_at):
        found.setdefault(activity.run, activity.created_at)
    return found


def quality(workspace: Workspace, due: date) -> Row:
    with workspace.seeing(*named_in(queries._QUALITY)) as connection:  # noqa: SLF001 - only the tables that it reads
        return queries.quality(connection, "UTC", due)


def read(workspace: Workspace) -> tuple[queries.Workspace, dict[str, queries.Sequence]]:
    with workspace.warehouse.reader() as connection:
        return queries.workspace(connection), queries.sequences(connection, DEFAULT_RULES)


@pytest.fixture(scope="module")
def of_all(many: Reported) -> queries.Workspace:
    return read(many.workspace)[0]


@pytest.fixture(scope="module")
def sequences(many: Reported) -> dict[str, queries.Sequence]:
    return read(many.workspace)[1]


def test_daily_counts_match_the_activities(many: Reported, of_all: queries.Workspace) -> None:
    for column, kind in {"sent": "message.sent", "replies": "message.replied"}.items():
        counted = Counter(a.created_at.date() for a in many.happened if a.type == kind)
        assert {row["day"].date(): row[column] for row in of_all.daily if row[column]} == counted
    assert len(of_all.daily) == 63
    assert all(row["is_landed"] for row in of_all.daily)


def test_a_week_is_listed_once_its_windows_have_closed(many: Reported, of_all: queries.Workspace) -> None:
    contacted, answered = first(many.happened, "message.sent"), first(many.happened, "message.replied")
    started, replies = Counter[date](), Counter[date]()
    for run, at in contacted.items():
        monday = at.date() - timedelta(days=at.weekday())
        started[monday] += 1
        replies[monday] += run in answered and answered[run] - at <= WINDOW
    assert [row["week_start"].date() for row in of_all.weeks] == sorted(started)[:4]  # ended 30 days before 4 May
    for row in of_all.weeks:
        monday = row["week_start"].date()
        assert (row["num"], row["den"]) == (replies[monday], started[monday])
        expected = proportion_confint(replies[monday], started[monday], method="wilson")
        assert (row["low"], row["high"]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("period", "length"), [("28d", 28), ("90d", 90), ("lifetime", 1000)])
def test_the_counts_of_a_sequence_are_those_of_the_period(
    many: Reported, sequences: dict[str, queries.Sequence], period: str, length: int
) -> None:
    since = AS_OF - timedelta(days=length)
    for number in (0, 1, 7):
        name = f"sequence {number}"
        happened = [a for a in many.happened if a.sequence == name]
        touched = [at for at in first(happened, "message.sent").values() if at >= since]
        answers = [at for at in first(happened, "message.replied").values() if at >= since]
        positive = [a for a in happened if a.category in ("INTERESTED", "MEETING")]
        row = sequences[uid(name)].periods[period]
        assert row["sent"] == sum(a.type == "message.sent" and a.created_at >= since for a in happened)
        assert (row["touched"], row["replies"]) == (len(touched), len(answers))
        assert row["positive"] == sum(at >= since for at in first(positive, "message.replied").values())


def test_outcomes_of_a_sequence_add_up_to_its_contacts_with_a_closed_window(
    sequences: dict[str, queries.Sequence],
) -> None:
    for sequence in sequences.values():
        ever = sequence.ever
        outcomes = [number for name, number in ever.items() if name.startswith("outcome_")]
        assert sum(outcomes) == ever["eligible"] == ever["den"]


def test_steps_have_the_contacts_that_reached_them_and_their_replies(
    many: Reported, sequences: dict[str, queries.Sequence]
) -> None:
    steps = sequences[uid("sequence 0")].steps
    runs = {a.run for a in many.happened if a.sequence == "sequence 0"}
    answered = {a.run for a in many.happened if a.type == "message.replied" and a.sequence == "sequence 0"}
    assert [(step["step"], step["channel"]) for step in steps] == [("Step 1", "Email"), ("Step 2", "Email")]
    assert steps[0]["runs_reached"] == len(runs)
    assert sum(step["num"] for step in steps) == len(answered)
    assert {step["step"].partition(" ")[0] for each in sequences.values() for step in each.steps} == {"Step", "Send"}


def test_hours_of_sending_are_summed_over_channels_and_have_a_rate_from_30_messages_on(
    many: Reported, sequences: dict[str, queries.Sequence]
) -> None:
    cells = sequences[uid("sequence 0")].timing
    sends = Counter(
        (a.created_at.isoweekday(), a.created_at.hour)
        for a in many.happened
        if a.type == "message.sent" and a.sequence == "sequence 0"
    )
    assert {(cell["weekday"], cell["hour"]): cell["sends"] for cell in cells} == sends
    assert any(cell["rate"] is not None for cell in cells)
    for cell in cells:
        assert cell["rate"] == (round(cell["num"] / cell["den"], 3) if cell["den"] >= 30 else None)


def test_a_trend_pools_four_weeks_and_needs_30_contacts(workspace: Workspace) -> None:
    replies = [5, 0, 0, 1, 4, 0]
    happened = [
        did
        for week, answered in enumerate(replies)
        for n in range(10)
        for did in (
            enrolled(march(2 + 7 * week, 8), f"{week} {n}"),
            sent(march(2 + 7 * week), f"{week} {n}"),
            *([replied(march(3 + 7 * week), f"{week} {n}")] if n < answered else []),
        )
    ]
    workspace.land_all(happened, *(march(day).date() for day in range(2, 2 + 6 * 7 + 31)))
    workspace.build()
    pooled = [replies[max(0, week - 3) : week + 1] for week in range(2, 6)]  # of 10 contacts each
    sql, few = queries._TRENDS, DEFAULT_RULES.evidence_small  # noqa: SLF001 - only the tables that it reads
    with workspace.seeing(*named_in(sql)) as connection:
        macros.define(connection)
        trend = rows(connection, sql, evidence_small=few)
    assert [row["rate"] for row in trend] == [sum(each) / (10 * len(each)) for each in pooled]
    assert [(row["newest"], row["weeks_ago"]) for row in trend] == [
        (date(2026, 4, 6), 5 - week) for week in range(2, 6)
    ]


def test_a_rate_within_seven_days_counts_the_contacts_who_have_had_them(
    many: Reported, of_all: queries.Workspace
) -> None:
    contacted, answered = first(many.happened, "message.sent"), first(many.happened, "message.replied")
    [row] = [row for row in of_all.windows if row["days"] == 7]
    old = {run: at for run, at in contacted.items() if at <= AS_OF - timedelta(days=7)}
    replies = sum(run in answered and answered[run] - at <= timedelta(days=7) for run, at in old.items())
    assert (row["num"], row["den"]) == (replies, len(old))


def test_channels_are_summed_over_sequences(many: Reported, of_all: queries.Workspace) -> None:
    sends = Counter(a.channel for a in many.happened if a.type == "message.sent")
    assert {row["code"]: row["sends"] for row in of_all.channels} == sends
    assert [row["channel"] for row in of_all.channels] == ["Email", "LinkedIn"]


def test_the_newest_seven_days_are_next_to_the_seven_before(many: Reported, of_all: queries.Workspace) -> None:
    assert [(row["first_day"], row["last_day"], row["days"]) for row in of_all.recent] == [
        (date(2026, 4, 27), date(2026, 5, 3), 7),
        (date(2026, 4, 20), date(2026, 4, 26), 7),
    ]
    touched = first(many.happened, "message.sent").values()
    for row in of_all.recent:
        assert row["touched"] == sum(row["first_day"] <= at.date() <= row["last_day"] for at in touched)


@pytest.fixture(scope="module")
def lately(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A sequence that fell silent, and one with opens and many sends on the last day; 10 March is missing."""
    workspace = Workspace(str(tmp_path_factory.mktemp("lately") / "topo.duckdb"))
    happened = [did for n in range(60) for did in (enrolled(march(4, 8), f"quiet {n}"), sent(march(4), f"quiet {n}"))]
    for day in range(-32, 32):
        count = 40 if day == 31 else 10 + day % 5
        happened += [sent(march(day), f"lively {day} {n}", sequence="lively") for n in range(count)]
        happened.append(opened(march(day, 10), f"lively {day} 0", sequence="lively"))
    happened += [replied(march(29, 12), "lively 29 1", sequence="lively")]
    workspace.land_all([a for a in happened if a.created_at.date() != date(2026, 3, 10)])
    workspace.build()
    return workspace


def test_data_quality_is_reported(lately: Workspace) -> None:
    limits = quality(lately, date(2026, 3, 31))
    assert (limits["first_day"], limits["last_day"]) == (date(2026, 1, 27), date(2026, 3, 31))
    assert limits["last_known_day"] == limits["as_of"] == date(2026, 3, 31)
    assert (limits["days_missing"], limits["days_behind"], limits["unproved"], limits["unreadable"]) == (
        1,
        0,
        [],
        0,
    )
    assert limits["cohort_days_left_out"] == 22  # 8 February to 1 March: 10 March is in their 30 days
    assert (limits["pending"], limits["replies"]) == (1, 1)
    [counted] = lately.select("SELECT count(*), count(*) FILTER (left_censored) FROM engagement.sequence_runs")
    assert (limits["runs"], limits["left_censored"]) == counted
    assert 0 < limits["left_censored"] < limits["runs"]
    # The runs of 11 to 31 March show no enrolment, and the missing 10 March is within the 30 days before them.
    assert limits["start_uncertain"] == sum(10 + day % 5 for day in range(11, 31)) + 40
    assert limits["touches_without_sequence"] == 0


def test_days_after_the_last_landed_one_are_behind_from_the_day_on_that_they_are_due(lately: Workspace) -> None:
    for due, behind in ((date(2026, 3, 30), 0), (date(2026, 4, 1), 1), (date(2026, 5, 1), 31)):
        assert quality(lately, due)["days_behind"] == behind


def test_a_day_last_read_before_it_was_over_is_not_proved_once_it_is_due(workspace: Workspace) -> None:
    workspace.land(march(2).date(), [sent(march(2), "A")])
    workspace.land(march(3).date(), [sent(march(3), "B")], is_open=True)
    workspace.build()
    assert quality(workspace, date(2026, 3, 2))["unproved"] == []
    assert quality(workspace, date(2026, 3, 3))["unproved"] == [date(2026, 3, 3)]


def test_messages_and_invitations_without_a_sequence_are_counted(workspace: Workspace) -> None:
    happened = [enrolled(march(2, 8), "A", sequence=None), sent(march(2), "A", sequence=None), sent(march(2), "B")]
    happened.append(Activity("invitation.sent", march(2), "C", sequence=None, channel="LINKEDIN"))
    workspace.land_all(happened)
    workspace.build()
    assert quality(workspace, date(2026, 3, 2))["touches_without_sequence"] == 2


def test_a_missing_day_has_no_numbers(lately: Workspace) -> None:
    with lately.seeing(*named_in(queries.DAILY)) as connection:
        found = rows(connection, queries.DAILY, days_shown=queries.DAYS_SHOWN)
    days = {row["day"].date(): row for row in found}
    assert len(days) == 64
    missing = days[date(2026, 3, 10)]
    assert (missing["is_landed"], missing["sent"]) == (False, None)
    assert sum(row["sent"] is not None for row in days.values()) == 63


def test_an_empty_workspace_has_neither_sequences_nor_numbers(empty: Workspace) -> None:
    of_all, sequences = read(empty)
    assert sequences == {}
    assert of_all == queries.Workspace(
        signals=None, forecasts=[], windows=[], weeks=[], recent=[], daily=[], channels=[]
    )
    with empty.warehouse.reader() as connection:
        assert queries.missing_tables(connection) == []
