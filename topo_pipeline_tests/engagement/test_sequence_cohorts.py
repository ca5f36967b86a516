"""Cohorts: rates over runs whose window has closed, by the day on which the runs started."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Cases,
    Row,
    Workspace,
    canonical,
    enrolled,
    march,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.engagement.oracle import OUTCOMES, OVER_ELIGIBLE, OVER_ENROLLED, RATES, days, no_rate, rate

DAY_1 = date(2026, 3, 1)
LAST_DAY = date(2026, 4, 30)
MONDAY = march(2)
SENDS = (200, 250, 300, 400)  # at least a quarter more each week, and 6% of each is a whole number of runs
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
YOUNG = march(59)  # 28 April: its window of 30 days has not closed by the last day
AXES = ("touched", "sent", "enrolled")

cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    """All cases, with every day from 1 March to 30 April known."""
    shared.land_all(cases.activities, *days(DAY_1, LAST_DAY))
    shared.build()
    return shared


def share(row: Row, name: str) -> tuple[int | None, int | None]:
    return row[f"{name}_num"], row[f"{name}_den"]


def shares(row: Row, *names: str) -> dict[str, tuple[int | None, int | None]]:
    return {name: share(row, name) for name in names}


def growing() -> Iterator[Activity]:
    """Yield weeks with more and more first messages. 6 of 100 runs reply: half a day later, half after nine days."""
    for week, sends in enumerate(SENDS):
        at = MONDAY + timedelta(weeks=week)
        for number in range(sends):
            run = f"{week} {number}"
            yield enrolled(at, run)
            yield sent(at + timedelta(hours=1), run)
            if number < sends * 6 // 100:
                yield replied(at + timedelta(days=1 if number % 2 else 9), run)


def test_while_sends_grow_mature_cohorts_have_the_true_rate_and_replies_per_week_do_not(workspace: Workspace) -> None:
    workspace.rules = Rules(reply_window_days=10)
    last = MONDAY + timedelta(weeks=len(SENDS), days=9)
    workspace.land_all(growing(), *days(MONDAY.date(), last.date()))
    workspace.build()
    for week in range(len(SENDS)):
        cohort = workspace.cohorts("touched")[(MONDAY + timedelta(weeks=week)).date()]
        assert cohort["is_mature"]
        assert cohort["reply_rate"] == pytest.approx(0.06, abs=1e-12)
    daily = workspace.daily()
    same_week = []
    for week in range(len(SENDS)):
        seven = [daily[(MONDAY + timedelta(weeks=week, days=n)).date()] for n in range(7)]
        same_week.append(sum(of["total_replies"] for of in seven) / sum(of["total_sent"] for of in seven))
    assert max(same_week) < 0.058
    weeks = workspace.trend()
    assert [row["reply_rate"] for row in weeks.values()] == pytest.approx([0.06] * len(SENDS), abs=1e-12)


@cases.happened(enrolled(YOUNG), sent(YOUNG + HOUR), replied(YOUNG + DAY))
def test_a_young_cohort_has_members_and_no_rate(case: Workspace) -> None:
    for axis in AXES:
        cohort = case.cohorts(axis)[YOUNG.date()]
        assert (cohort["members"], cohort["eligible"], cohort["maturity"], cohort["is_mature"]) == (1, 0, 0.0, False)
        assert (cohort["days_unknown"], cohort["start_uncertain"]) == (0, 0)
        for name in RATES:
            expected = rate(name, 0, 0)
            assert {column: cohort[column] for column in expected} == expected


@cases.happened(
    *(enrolled(YOUNG, run) for run in "ABCD"),
    *(sent(YOUNG + HOUR, run) for run in "ABCD"),
    replied(YOUNG + DAY, "A", category="MEETING"),
    replied(YOUNG + DAY, "B"),
    Activity("hot_lead.created", YOUNG + DAY, "B"),
    Activity("meeting.created", YOUNG + 2 * DAY, "A"),
    replied(YOUNG + HOUR / 2, "D", channel="LINKEDIN"),
)
def test_counts_to_date_grow_from_the_start_of_the_axis(case: Workspace) -> None:
    counts = ("members", "replies_to_date", "positive_replies_to_date", "hot_leads_to_date", "meetings_to_date")
    found = {axis: case.cohorts(axis)[YOUNG.date()] for axis in AXES}
    # D replied before its first message. It is no member on axis sent, and its reply counts from its enrolment only.
    assert {axis: [row[name] for name in counts] for axis, row in found.items()} == {
        "touched": [4, 2, 1, 1, 1],
        "sent": [3, 2, 1, 1, 1],
        "enrolled": [4, 3, 1, 1, 1],
    }
    assert {axis: row["reply_rate_to_date"] for axis, row in found.items()} == {
        "touched": 2 / 4,
        "sent": 2 / 3,
        "enrolled": 3 / 4,
    }
    assert {axis: row["replied_before_message"] for axis, row in found.items()} == {
        "touched": None,
        "sent": 1,
        "enrolled": None,
    }


CLOSES = march(1) + 30 * DAY


@cases.happened(
    *(did for run in "ABC" for did in (enrolled(march(1), run), sent(march(1), run))),
    replied(CLOSES, "A"),
    replied(CLOSES + SECOND, "B"),
)
def test_a_reply_after_the_window_counts_to_date_and_in_no_rate(case: Workspace) -> None:
    for axis in AXES:
        cohort = case.cohorts(axis)[DAY_1]
        assert (share(cohort, "reply_rate"), cohort["replies_to_date"]) == ((1, 3), 2)


def test_each_axis_counts_from_its_own_start(workspace: Workspace) -> None:
    """Enrolled on the 1st, invited on the 11th, first message on the 21st. Windows of ten days, known to the 25th."""
    happened = [
        *(enrolled(march(1)), Activity("invitation.sent", march(11, 10)), sent(march(21))),
        *(Activity("sequence.stopped", march(11)), replied(march(12), channel="LINKEDIN")),
    ]
    workspace.land_all(happened, *days(DAY_1, march(25).date()))
    workspace.build(rules=Rules(reply_window_days=10))
    starts = {"enrolled": 1, "touched": 11, "sent": 21}
    found = {axis: workspace.cohorts(axis) for axis in AXES}
    assert {axis: [*rows] for axis, rows in found.items()} == {
        axis: [march(day).date()] for axis, day in starts.items()
    }
    by_axis = {axis: rows[march(starts[axis]).date()] for axis, rows in found.items()}
    assert {axis: (row["members"], row["eligible"]) for axis, row in by_axis.items()} == {
        "enrolled": (1, 1),
        "touched": (1, 1),
        "sent": (0, 0),
    }
    # The reply comes eleven days after the enrolment and one after the touch.
    assert share(by_axis["enrolled"], "reply_rate") == (0, 1)
    assert share(by_axis["touched"], "reply_rate") == (1, 1)
    assert (by_axis["sent"]["replied_before_message"], by_axis["sent"]["maturity"]) == (1, None)
    assert shares(by_axis["enrolled"], *OVER_ENROLLED) == {
        "contact_rate": (0, 1),
        "completion_rate": (0, 1),
        "stop_rate": (1, 1),
    }


@cases.happened(enrolled(march(1)), sent(march(2)), Activity("sequence.completed", march(3)))
def test_rates_of_enrolments_are_null_on_the_other_axes(case: Workspace) -> None:
    for name in OVER_ENROLLED:
        for axis in ("touched", "sent"):
            cohort = case.cohorts(axis)[march(2).date()]
            assert {column: cohort[column] for column in no_rate(name)} == no_rate(name)
        assert share(case.cohorts("enrolled")[DAY_1], name) == (0 if name == "stop_rate" else 1, 1)


@cases.happened(
    enrolled(march(1, 8)),
    Activity("invitation.sent", march(1), channel="LINKEDIN"),
    replied(march(2), channel="LINKEDIN"),
)
def test_an_invitation_is_a_touch_and_no_message(case: Workspace) -> None:
    assert case.cohorts("sent") == {}
    for axis in ("touched", "enrolled"):
        assert share(case.cohorts(axis)[DAY_1], "reply_rate") == (1, 1)


ALL_KINDS = {
    "automatic": replied(march(2), "automatic", category="OUT_OF_OFFICE"),
    "bounce": replied(march(2), "bounce", category="BOUNCED"),
    "pending": replied(march(2), "pending"),
    "unknown": replied(march(2), "unknown", category="UNKNOWN"),
    "new category": replied(march(2), "new category", category="TELEPATHY"),
    "positive": replied(march(2), "positive", category="MEETING"),
    "positive too": replied(march(2), "positive too", category="INTERESTED"),
    "neutral": replied(march(2), "neutral", category="BAD_TIMING"),
    "negative": replied(march(2), "negative", category="NOT_INTERESTED"),
    "opt-out": replied(march(2), "opt-out", category="UNSUBSCRIBED"),
    "hot": Activity("hot_lead.created", march(2), "hot"),
    "met": Activity("meeting.created", march(2), "met"),
    "silent": Activity("message.opened", march(2), "silent"),
}


@cases.happened(
    *(did for run in ALL_KINDS for did in (enrolled(march(1), run), sent(march(1), run))), *ALL_KINDS.values()
)
def test_each_rate_counts_its_own_outcome(case: Workspace) -> None:
    for axis in AXES:
        cohort = case.cohorts(axis)[DAY_1]
        assert {name: cohort[f"{name}_num"] for name in OVER_ELIGIBLE} == {
            "reply_rate": 8,
            "reply_rate_all": 10,
            "positive_reply_rate": 2,
            "hot_lead_rate": 1,
            "meeting_rate": 1,
        }
        assert {cohort[f"{name}_den"] for name in OVER_ELIGIBLE} == {len(ALL_KINDS)}
        # 8 valid replies, of which one is pending and two are of unknown class.
        assert shares(cohort, "positive_share_of_replies", "classification_coverage") == {
            "positive_share_of_replies": (2, 5),
            "classification_coverage": (5, 8),
        }


@cases.happened(
    *(did for run in ALL_KINDS for did in (enrolled(march(1), run), sent(march(1), run))), *ALL_KINDS.values()
)
def test_outcomes_add_up_to_eligible_on_axis_touched(case: Workspace) -> None:
    found = {axis: {name: case.cohorts(axis)[DAY_1][f"outcome_{name}"] for name in OUTCOMES} for axis in AXES}
    assert found["touched"] == {
        **{"meeting": 1, "positive": 2, "opt_out": 1, "negative": 1, "neutral": 1},
        **{"unknown": 2, "pending": 1, "out_of_office": 1, "bounced": 1, "none": 2},
    }
    assert sum(found["touched"].values()) == case.cohorts("touched")[DAY_1]["eligible"]
    assert found["sent"] == found["enrolled"] == dict.fromkeys(OUTCOMES)


EARLY_REPLY = [replied(march(1, 8, 30), run, category="BAD_TIMING") for run in "AB"]


@cases.happened(
    *(did for run in "AB" for did in (enrolled(march(1, 8), run), sent(march(1), run))),
    *EARLY_REPLY,
    replied(march(2), "A", category="MEETING"),
)
def test_a_rate_counts_any_reply_in_the_window_and_not_the_first_ever(case: Workspace) -> None:
    """Both replied before their first message, so neither is on axis sent. A replies again."""
    cohort = case.cohorts("touched")[DAY_1]
    assert shares(cohort, "reply_rate", "positive_reply_rate", "positive_share_of_replies") == {
        "reply_rate": (1, 2),
        "positive_reply_rate": (1, 2),
        "positive_share_of_replies": (1, 1),
    }
    by_message = case.cohorts("sent")[DAY_1]
    assert (by_message["members"], by_message["replied_before_message"]) == (0, 2)
    assert share(by_message, "reply_rate") == (0, 0)
    assert by_message["maturity"] is None


@cases.happened(
    *(did for run in "ABCD" for did in (enrolled(march(1), run), sent(march(1), run))),
    *(replied(march(3), run) for run in "ABC"),
    Activity("meeting.created", march(2), "A"),
    Activity("meeting.created", march(2), "B"),
    Activity("meeting.created", march(3), "B"),
    Activity("meeting.created", CLOSES + SECOND, "C"),
    Activity("meeting.created", march(2), "D"),
)
def test_a_meeting_follows_from_a_reply_when_it_comes_at_or_after_it(case: Workspace) -> None:
    cohort = case.cohorts("touched")[DAY_1]
    assert shares(cohort, "meeting_rate", "reply_to_meeting_rate") == {
        "meeting_rate": (3, 4),
        "reply_to_meeting_rate": (1, 3),
    }


def repliers(number: int) -> str:
    """Add a case of nine contacted runs. This many reply, an hour after another, and one more replies too late."""
    begun = [did for n in range(9) for did in (enrolled(march(1, 8), str(n)), sent(march(1), str(n)))]
    return cases.add(*begun, *(replied(march(1, 10 + n), str(n)) for n in range(number)), replied(CLOSES + SECOND, "8"))


@pytest.mark.parametrize(
    ("case", "median", "p90"),
    [(repliers(4), None, None), (repliers(5), 3.0, 4.6)],
    indirect=["case"],
    ids=["four", "five"],
)
def test_hours_to_a_reply_need_five_repliers(case: Workspace, median: float | None, p90: float | None) -> None:
    """They count from the start of the axis: the enrolment is an hour before the message."""
    for axis, earlier in (("touched", 0), ("sent", 0), ("enrolled", 1)):
        found = [case.cohorts(axis)[DAY_1][f"{name}_hours_to_first_reply"] for name in ("median", "p90")]
        expected = [None if hours is None else hours + earlier for hours in (median, p90)]
        assert found == (expected if median is None else pytest.approx(expected))


@cases.happened(sent(march(2), "old"), enrolled(march(2, 8)), sent(march(2)), sent(march(40), "new"))
def test_a_left_censored_run_is_in_no_cohort(case: Workspace) -> None:
    """History starts on 1 March: a run without its enrolment, seen within 30 days, may have begun before."""
    for axis in ("touched", "sent"):
        assert {day: row["members"] for day, row in case.cohorts(axis).items()} == {
            march(2).date(): 1,
            march(40).date(): 1,
        }


STARTED = march(1)
EARLY = (3, 7, 14)


@cases.happened(
    *(did for n in range(7) for did in (enrolled(STARTED, str(n)), sent(STARTED, str(n)))),
    *(replied(STARTED + days * DAY, str(n), category="INTERESTED") for n, days in enumerate(EARLY)),
    *(replied(STARTED + days * DAY + SECOND, str(3 + n), category="BAD_TIMING") for n, days in enumerate(EARLY)),
)
def test_an_early_window_counts_replies_until_its_last_second(case: Workspace) -> None:
    for axis in AXES:
        row = case.cohorts(axis)[DAY_1]
        assert [row[f"eligible_{days}d"] for days in EARLY] == [7, 7, 7]
        # One more a second after each window ends, so in the next one.
        assert [row[f"reply_{days}d_num"] for days in EARLY] == [1, 3, 5]
        assert [row[f"positive_reply_{days}d_num"] for days in EARLY] == [1, 2, 3]


AS_OF = march(62, 0)  # the end of 30 April


@cases.happened(
    *(
        did
        for days in EARLY
        for late, run in ((timedelta(0), f"{days} closed"), (SECOND, f"{days} open"))
        for at in (AS_OF - days * DAY + late,)
        for did in (enrolled(at, run), sent(at, run), replied(at + HOUR, run))
    )
)
def test_an_early_window_counts_a_run_from_the_second_in_which_it_closes(case: Workspace) -> None:
    for length in EARLY:
        row = case.cohorts("touched")[(AS_OF - length * DAY).date()]
        assert (row["members"], row[f"eligible_{length}d"], row[f"reply_{length}d_num"]) == (2, 1, 1)
        assert row["replies_to_date"] == 2
        longer = [row[f"eligible_{other}d"] for other in EARLY if other > length]
        assert (longer, row["eligible"]) == ([0] * len(longer), 0)


@pytest.mark.parametrize("kind", ["missing", pytest.param("half_read", marks=pytest.mark.full), "unproved"])
def test_a_cohort_with_an_unknown_day_in_its_window_is_not_mature(workspace: Workspace, kind: str) -> None:
    """The 4th is unknown. `across` may have been touched on it before its first known touch on the 5th."""
    odd = march(4).date()
    happened = [
        *(a for day in (1, 2, 4, 5) for a in (enrolled(march(day, 8), str(day)), sent(march(day), str(day)))),
        *(enrolled(march(3), "across"), sent(march(5), "across")),
        replied(march(2), "1"),
    ]
    is_there = kind != "missing"
    workspace.land_all(
        [activity for activity in happened if is_there or activity.created_at.date() != odd],
        *(day for day in days(DAY_1, march(9).date()) if is_there or day != odd),
        open_days=[odd] if kind == "half_read" else [],
        unproved_days=[odd] if kind == "unproved" else [],
    )
    workspace.build(rules=Rules(reply_window_days=2))
    columns = ("members", "start_uncertain", "eligible", "days_unknown", "is_mature", "eligible_3d")
    for axis in ("touched", "sent"):
        found = {day.day: tuple(row[name] for name in columns) for day, row in workspace.cohorts(axis).items()}
        assert found == {
            # The two days after the start reach into the 3rd or 4th, and three days reach the 4th.
            1: (1, 0, 1, 0, True, 0),
            2: (1, 0, 1, 1, False, 0),
            **({4: (1, 0, 1, 1, False, 0)} if is_there else {}),
            5: (1, 1, 1, 0, True, 1),
        }
        assert share(workspace.cohorts(axis)[DAY_1], "reply_rate") == (1, 1)
    found = {day.day: tuple(row[name] for name in columns) for day, row in workspace.cohorts("enrolled").items()}
    assert found == {
        1: (1, 0, 1, 0, True, 0),
        2: (1, 0, 1, 1, False, 0),
        3: (1, 0, 1, 1, False, 0),
        **({4: (1, 0, 1, 1, False, 0)} if is_there else {}),
        5: (1, 0, 1, 0, True, 1),
    }


def test_days_to_come_are_not_unknown(workspace: Workspace) -> None:
    days = (march(3).date(), march(5).date())
    workspace.land_all([enrolled(march(1)), sent(march(1, 10))], *days, still_open=days[-1])
    workspace.build()
    assert workspace.cohorts()[DAY_1]["days_unknown"] == 1  # the 2nd: the 3rd is the last known one


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Europe/Paris", 2), ("America/New_York", 1), pytest.param("Asia/Kolkata", 2, marks=pytest.mark.full)],
)
def test_a_cohort_day_is_a_day_of_the_reporting_zone(workspace: Workspace, zone: str, day: int) -> None:
    workspace.zone = zone
    workspace.land_all([enrolled(march(1, 10)), sent(march(1, 23, 30))])
    workspace.build()
    for axis in ("touched", "sent"):
        assert list(workspace.cohorts(axis)) == [march(day).date()]


@pytest.mark.parametrize(
    ("zone", "started", "ends"),
    [
        # 29 March has 23 hours: two days from 23:30 end at 0:30 of the 31st.
        ("Europe/Paris", datetime(2026, 3, 28, 22, 30, tzinfo=UTC), date(2026, 3, 31)),
        # 25 October has 25 hours: two days from 0:30 end at 23:30 of the 26th.
        pytest.param(
            "Europe/Paris", datetime(2026, 10, 24, 22, 30, tzinfo=UTC), date(2026, 10, 26), marks=pytest.mark.full
        ),
        # 4 October has 23.5 hours: two days from 23:45 end at 0:15 of the 6th.
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 13, 15, tzinfo=UTC), date(2026, 10, 6)),
    ],
)
def test_a_window_is_n_times_24_hours_when_the_clocks_change(
    workspace: Workspace, zone: str, started: datetime, ends: date
) -> None:
    """So is the cohort's last day, which counts as unknown as long as it is not proved."""
    workspace.zone, workspace.rules = zone, Rules(reply_window_days=2)
    first, last = started.astimezone(ZoneInfo(zone)).date(), [replied(started + 2 * DAY)]
    workspace.land_all([enrolled(started), sent(started)], *days(first, ends - DAY))
    workspace.land(ends, last, is_open=True)
    workspace.build("sequence_runs", "sequence_cohorts")
    cohort = workspace.cohorts("touched")[first]
    assert (cohort["eligible"], cohort["days_unknown"]) == (0, 0)
    workspace.land(ends, last, proved=False)
    workspace.land(ends + DAY)
    workspace.build("sequence_runs", "sequence_cohorts")
    cohort = workspace.cohorts("touched")[first]
    assert (cohort["eligible"], share(cohort, "reply_rate")) == (1, (1, 1))
    assert (cohort["days_unknown"], cohort["is_mature"]) == (1, False)


MANY = """
INSERT INTO engagement.sequence_runs BY NAME
SELECT $sequence::UUID AS sequence_template_id, uuid() AS sequence_id, false AS left_censored, false AS start_uncertain,
    day AS first_activity_at, day AS enrolled_at, day AS contacted_at, day AS touched_at,
    CASE WHEN n < $replies THEN day + INTERVAL 5 HOUR END AS first_valid_reply_at
FROM range(50000) AS runs(n) CROSS JOIN (
    SELECT unnest([TIMESTAMPTZ '2026-03-02 09:00:00+00', TIMESTAMPTZ '2026-03-09 09:00:00+00']) AS day)
"""
THEIR_REPLIES = """
INSERT INTO engagement.sequence_responses
SELECT sequence_template_id, sequence_id, uuid(), 'message.replied', first_valid_reply_at, 'pending'
FROM engagement.sequence_runs WHERE first_valid_reply_at IS NOT NULL
"""


def test_a_cohort_of_more_runs_than_an_integers_root_has_its_interval(workspace: Workspace) -> None:
    workspace.rules = Rules(reply_window_days=7)
    workspace.land_all((), *days(DAY_1, march(22).date()))
    workspace.build("sequence_runs", "sequence_cohorts")
    with workspace.warehouse.transaction() as connection:
        values: dict[str, Any] = {"sequence": uid("outbound"), "replies": 49_000}
        connection.execute(MANY, values)
        connection.execute(THEIR_REPLIES)
        connection.execute(  # as a build of sequence_runs records the days that it changed
            "INSERT INTO engagement.sequence_firsts (sequence_template_id, day, load_id)"
            " SELECT DISTINCT sequence_template_id, contacted_at::DATE, uuid() FROM engagement.sequence_runs"
        )
    workspace.build("sequence_cohorts", "sequence_trends")
    expected = rate("reply_rate", 49_000, 50_000)
    for row in (*workspace.cohorts("touched").values(), *workspace.trend().values()):
        assert canonical([{column: row[column] for column in expected}]) == canonical([expected])
