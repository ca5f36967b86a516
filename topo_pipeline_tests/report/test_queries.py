"""The report's queries, compared with counts made from the activities in Python."""

from collections import Counter
from datetime import date, datetime, timedelta

import pandas as pd
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report import attention, queries
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, opened, replied, sent, uid
from topo_pipeline_tests.report.conftest import Reported

WINDOW = timedelta(days=30)


def first(activities: list[Activity], kind: str) -> dict[str | None, datetime]:
    """Return the time of each run's first activity of a kind."""
    found: dict[str | None, datetime] = {}
    for activity in sorted((a for a in activities if a.type == kind), key=lambda a: a.created_at):
        found.setdefault(activity.run, activity.created_at)
    return found


def ask(workspace: Workspace, query: object, *values: object) -> pd.DataFrame:
    with workspace.warehouse.reader() as connection:
        return query(connection, *values)  # type: ignore[operator]


def test_daily_counts_match_the_activities(many: Reported) -> None:
    days = ask(many.workspace, queries.daily).set_index("day")
    for column, kind in {"sent": "message.sent", "replies": "message.replied"}.items():
        counted = Counter(pd.Timestamp(a.created_at.date()) for a in many.happened if a.type == kind)
        assert {day: n for day, n in days[column].items() if n} == counted
    assert len(days) == 63
    assert days["is_landed"].all()


def test_a_week_counts_all_sequences_and_its_change_has_newcombes_interval(many: Reported) -> None:
    contacted, answered = first(many.happened, "message.sent"), first(many.happened, "message.replied")
    started, replies = Counter[date](), Counter[date]()
    for run, at in contacted.items():
        monday = at.date() - timedelta(days=at.weekday())
        started[monday] += 1
        replies[monday] += run in answered and answered[run] - at <= WINDOW
    weeks = ask(many.workspace, queries.weekly_rates, DEFAULT_RULES)
    weeks = queries.of_outcome(weeks, "reply_rate")
    assert [monday.date() for monday in weeks["week_start"]] == sorted(started)[:4]  # ended 30 days before 4 May
    for row in weeks.to_dict("records"):
        monday = row["week_start"].date()
        assert (row["num"], row["den"], row["members"]) == (replies[monday], started[monday], started[monday])
        expected = proportion_confint(replies[monday], started[monday], method="wilson")
        assert (row["low"], row["high"]) == pytest.approx(expected, abs=1e-9)
    last, before = sorted(started)[3], sorted(started)[2]
    change = confint_proportions_2indep(
        replies[last], started[last], replies[before], started[before], method="newcomb", compare="diff"
    )
    assert (row["change_low"], row["change_high"]) == pytest.approx(change, abs=1e-9)
    assert row["is_comparable"]


def test_the_reply_curve_counts_replies_by_age_and_ends_at_the_cohorts_rate(many: Reported) -> None:
    contacted, answered = first(many.happened, "message.sent"), first(many.happened, "message.replied")
    closed = {run: at for run, at in contacted.items() if at <= march(65, 0) - WINDOW}
    ages = sorted(answered[run] - at for run, at in closed.items() if run in answered and answered[run] - at <= WINDOW)
    curve = ask(many.workspace, queries.reply_curve, DEFAULT_RULES, "UTC")
    assert list(curve["replied"]) == [sum(age <= timedelta(days=days) for age in ages) for days in range(31)]
    assert set(curve["touched"]) == {len(closed)}
    [(num, den)] = many.workspace.select(
        "SELECT sum(reply_rate_num), sum(reply_rate_den) FROM engagement.sequence_cohorts WHERE axis = 'touched'"
    )
    assert (curve["replied"].iloc[-1], curve["touched"].iloc[-1]) == (num, den)


def test_the_reply_curve_counts_only_runs_with_closed_windows(workspace: Workspace) -> None:
    starts = {
        "just closed": march(5, 0),
        "still open": march(5, 0, 0, 1),
        "last second": march(3),
        "too late": march(3),
    }
    happened = [enrolled(march(2), run) for run in starts]
    happened += [sent(at, run) for run, at in starts.items()]
    happened += [sent(march(2), "left-censored"), replied(march(2, 12), "left-censored")]
    happened += [replied(march(5, 12), "just closed"), replied(march(5, 12), "still open")]
    happened += [replied(march(33), "last second"), replied(march(33, 9, 0, 1), "too late")]
    every_day = [march(day).date() for day in range(2, 35)]
    workspace.land_all(happened, *every_day)  # as of the end of march(34): 30 days after march(5, 0)
    workspace.build()
    curve = ask(workspace, queries.reply_curve, DEFAULT_RULES, "UTC").set_index("days")
    assert set(curve["touched"]) == {3}
    assert [curve["replied"][days] for days in (0, 1, 29, 30)] == [0, 1, 1, 2]


def test_the_reply_curve_leaves_out_runs_with_an_unknown_day_in_their_start_or_window(workspace: Workspace) -> None:
    happened = [
        *(enrolled(march(2), "window"), sent(march(3), "window"), replied(march(4), "window")),
        *(enrolled(march(4), "start"), sent(march(6), "start"), replied(march(6, 10), "start")),
        *(enrolled(march(6, 8), "counted"), sent(march(6), "counted"), replied(march(8, 9), "counted")),
    ]
    workspace.land_all(happened, *(march(day).date() for day in range(2, 41) if day != 5))
    workspace.build()
    curve = ask(workspace, queries.reply_curve, DEFAULT_RULES, "UTC").set_index("days")
    assert set(curve["touched"]) == {1}
    assert [curve["replied"][days] for days in (1, 2, 30)] == [0, 1, 1]


def test_an_invitation_starts_the_time_to_reply(workspace: Workspace) -> None:
    happened = [
        enrolled(march(2, 8)),
        Activity("invitation.sent", march(2), channel="LINKEDIN"),
        sent(march(12), channel="LINKEDIN"),
        replied(march(13, 9), channel="LINKEDIN"),
    ]
    workspace.land_all(happened, *(march(day).date() for day in range(2, 41)))
    workspace.build()
    curve = ask(workspace, queries.reply_curve, DEFAULT_RULES, "UTC").set_index("days")
    assert [curve["replied"][days] for days in (10, 11)] == [0, 1]
    [week] = queries.of_outcome(ask(workspace, queries.weekly_rates, DEFAULT_RULES), "reply_rate").to_dict("records")
    assert (week["week_start"].date(), week["num"], week["den"]) == (date(2026, 3, 2), 1, 1)


def test_a_funnel_counts_the_runs_that_reached_each_stage(many: Reported) -> None:
    board = ask(many.workspace, queries.sequences)
    stages = pd.DataFrame(queries.stages(board.sum(numeric_only=True)))
    answered = [a for a in many.happened if a.type == "message.replied"]
    assert dict(zip(stages["stage"], stages["runs"], strict=True)) == {
        "Enrolled": len(first(many.happened, "sequence.created")),
        "Messaged or invited": len(first(many.happened, "message.sent")),  # nobody is invited
        "Replied": len({a.run for a in answered}),
        "Positive reply": len({a.run for a in answered if a.category in ("INTERESTED", "MEETING")}),
        "Meeting": 0,
    }
    assert stages["share"].isna().tolist() == [True, True, False, False, False]
    assert {stage["share"] for stage in queries.stages(dict.fromkeys(board.columns, 0))} == {None}


def test_the_funnel_of_a_sequence_that_invites_first_has_no_share_above_one(workspace: Workspace) -> None:
    happened = [
        did(march(2, 8 + hour), run)
        for run in "ABCD"
        for hour, did in enumerate((enrolled, invited, *((replied,) if run in "ABC" else ())))
    ]
    workspace.land_all([*happened, sent(march(3), "A")])
    workspace.build()
    [row] = ask(workspace, queries.sequences).to_dict("records")
    assert [(stage["runs"], stage["share"]) for stage in queries.stages(row)][1:3] == [(4, None), (3, 0.75)]


def invited(at: datetime, run: str) -> Activity:
    return Activity("invitation.sent", at, run, channel="LINKEDIN")


def test_each_step_splits_the_runs_that_reached_it(many: Reported) -> None:
    steps = ask(many.workspace, queries.steps)
    of_first = steps[steps["sequence_id"] == uid("sequence 0")].set_index("step")
    answered = {a.run for a in many.happened if a.type == "message.replied" and a.sequence == "sequence 0"}
    runs = {a.run for a in many.happened if a.sequence == "sequence 0"}
    assert list(of_first.index) == ["Step 1 · Email", "Step 2 · Email"]
    assert of_first.loc["Step 1 · Email", "runs_reached"] == len(runs)
    assert of_first.loc["Step 1 · Email", "exits_replied"] == len(answered)
    ends = ["went_on", "exits_replied", "exits_completed", "exits_stopped", "exits_active"]
    assert (steps[ends].sum(axis=1) == steps["runs_reached"]).all()
    assert {step.partition(" ")[0] for step in steps["step"]} == {"Step", "Send"}


def test_channels_are_summed_over_sequences(many: Reported) -> None:
    channels = ask(many.workspace, queries.channels).set_index("channel")
    sends = Counter(a.channel for a in many.happened if a.type == "message.sent")
    assert dict(channels["sends"]) == {"Email": sends["EMAIL"], "LinkedIn": sends["LINKEDIN"]}
    assert channels["share"].sum() == pytest.approx(1)


def test_recent_weeks_are_raw_counts(many: Reported) -> None:
    weeks = ask(many.workspace, attention.recent_weeks).to_dict("records")
    assert [row["week_start"].date() for row in weeks] == [date(2026, 4, 27), date(2026, 4, 20)]
    for row in weeks:
        start = row["week_start"].date()
        of_week = [a for a in many.happened if start <= a.created_at.date() < start + timedelta(days=7)]
        assert row["sent"] == sum(a.type == "message.sent" for a in of_week)
        assert row["replies"] == sum(a.type == "message.replied" for a in of_week)
        assert row["days"] == 7


@pytest.fixture(scope="module")
def lately(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A sequence that fell silent, and one with opens and many sends on the last day; 10 March is missing."""
    workspace = Workspace(str(tmp_path_factory.mktemp("lately") / "topo.duckdb"))
    happened = [
        activity
        for n in range(60)
        for activity in (
            enrolled(march(4, 8), f"quiet {n}", sequence="quiet"),
            sent(march(4), f"quiet {n}", sequence="quiet"),
        )
    ]
    for day in range(-32, 32):
        count = 40 if day == 31 else 10 + day % 5
        happened += [sent(march(day), f"lively {day} {n}", sequence="lively") for n in range(count)]
        happened.append(opened(march(day, 10), f"lively {day} 0", sequence="lively"))
    happened += [replied(march(29, 12), "lively 29 1", sequence="lively")]
    workspace.land_all([a for a in happened if a.created_at.date() != date(2026, 3, 10)])
    workspace.build()
    return workspace


def test_silent_sequences_and_missing_opens_are_found_and_one_busy_day_is_not_unusual(lately: Workspace) -> None:
    [silent] = ask(lately, attention.silent).to_dict("records")
    assert (silent["sequence_id"], silent["waiting"], silent["last_day"].date()) == (uid("quiet"), 60, date(2026, 3, 4))
    [off] = ask(lately, attention.tracking_off).to_dict("records")
    assert (off["sequence_id"], off["sends"]) == (uid("quiet"), 60)
    assert ask(lately, attention.unusual_volumes).empty


@pytest.mark.parametrize(
    "change",
    [
        f"INSERT INTO topo.sequence_templates BY NAME SELECT '{uid('quiet')}' AS id, 'FINISHING' AS status,"
        " now() AS seen_at",
        "UPDATE engagement.sequence_channels SET sequence_template_id = NULL",
    ],
)
def test_tracking_is_reported_neither_of_inactive_sequences_nor_of_no_sequence(lately: Workspace, change: str) -> None:
    with pytest.raises(Undone), lately.warehouse.transaction() as connection:
        connection.execute(change)
        assert attention.tracking_off(connection).empty
        raise Undone


class Undone(Exception):
    """Rolls a transaction back."""


def test_data_quality_is_reported(lately: Workspace) -> None:
    with lately.warehouse.reader() as connection:
        quality = attention.quality(connection, "UTC")
    assert (quality.first_day, quality.last_day, quality.last_known_day) == (
        date(2026, 1, 27),
        date(2026, 3, 31),
        date(2026, 3, 31),
    )
    assert quality.as_of == date(2026, 3, 31)
    assert (quality.days_missing, quality.unproved, quality.unreadable) == (1, [], 0)
    assert quality.cohort_days_left_out == 22  # 8 February to 1 March: 10 March is in their 30 days
    assert (quality.pending, quality.replies) == (1, 1)
    [counted] = lately.select("SELECT count(*), count(*) FILTER (left_censored) FROM engagement.sequence_runs")
    assert (quality.runs, quality.left_censored) == counted
    assert 0 < quality.left_censored < quality.runs
    # The runs of 11 to 31 March show no enrolment, and the missing 10 March is within the 30 days before them.
    assert quality.start_uncertain == sum(10 + day % 5 for day in range(11, 31)) + 40
    assert quality.touches_without_sequence == 0


def test_messages_and_invitations_without_a_sequence_are_counted(workspace: Workspace) -> None:
    happened = [enrolled(march(2, 8), "A", sequence=None), sent(march(2), "A", sequence=None), sent(march(2), "B")]
    happened.append(Activity("invitation.sent", march(2), "C", sequence=None, channel="LINKEDIN"))
    workspace.land_all(happened)
    workspace.build()
    with workspace.warehouse.reader() as connection:
        assert attention.quality(connection, "UTC").touches_without_sequence == 2


def test_a_missing_day_has_no_numbers(lately: Workspace) -> None:
    days = ask(lately, queries.daily).set_index("day")
    missing = days.loc[pd.Timestamp("2026-03-10")]
    assert not missing["is_landed"]
    assert pd.isna(missing["sent"])
    assert days["sent"].notna().sum() == 63


def test_every_query_works_on_an_empty_workspace(workspace: Workspace) -> None:
    workspace.build()
    for query in (queries.daily, queries.steps, queries.sequences, queries.channels, attention.silent,
                  attention.tracking_off, attention.unusual_volumes, attention.recent_weeks):  # fmt: skip
        assert ask(workspace, query).empty
    assert ask(workspace, queries.weekly_rates, DEFAULT_RULES).empty
    assert ask(workspace, queries.reply_curve, DEFAULT_RULES, "UTC").empty
    assert ask(workspace, queries.missing_tables) == []
