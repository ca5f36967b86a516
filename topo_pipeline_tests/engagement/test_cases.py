"""Small worlds whose numbers follow from the specification by hand: cases that earlier versions counted wrong."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import (
    Activity,
    Row,
    Workspace,
    canonical,
    enrolled,
    march,
    opened,
    replied,
    sent,
    uid,
)
from topo_pipeline_tests.engagement.oracle import World, tables
from topo_pipeline_tests.engagement.oracle.world import id_of
from topo_pipeline_tests.engagement.test_golden_example import EXPECTED, FIRST, SECOND
from topo_pipeline_tests.engagement.worlds import land_world, landed


@dataclass(frozen=True)
class Expected:
    """The only row of a table with these values, and some of its other columns. None: there is no such row."""

    table: str
    key: Row
    columns: Row | None

    def check(self, found: dict[str, list[Row]]) -> None:
        rows = [row for row in found[self.table] if {name: row[name] for name in self.key} == self.key]
        if self.columns is None:
            assert rows == [], self
            return
        assert len(rows) == 1, (self, len(rows))
        [row] = rows
        assert canonical([{name: row[name] for name in self.columns}]) == canonical([self.columns]), self


@dataclass(frozen=True)
class Case:
    """What is landed, and what it has to come to."""

    world: World
    expected: list[Expected]


CASES: dict[str, Callable[[], Case]] = {}


def case(write: Callable[[], Case]) -> Callable[[], Case]:
    """Add a case under the name of its function."""
    CASES[write.__name__] = write
    return write


def day(number: int) -> date:
    return march(number).date()


def cohort(axis: str, cohort_day: date, columns: Row | None, sequence: str = "outbound") -> Expected:
    key = {"sequence_template_id": uid(sequence), "axis": axis, "cohort_day": cohort_day}
    return Expected("sequence_cohorts", key, columns)


def summary(columns: Row, period: str = "lifetime", sequence: str | None = "outbound") -> Expected:
    return Expected("sequence_summary", {"sequence_template_id": id_of(sequence), "period": period}, columns)


def channel(columns: Row, period: str = "lifetime", name: str = "EMAIL") -> Expected:
    key = {"sequence_template_id": uid("outbound"), "channel": name, "period": period}
    return Expected("sequence_channels", key, columns)


def daily(of: date, columns: Row, sequence: str | None = "outbound") -> Expected:
    return Expected("sequence_daily", {"sequence_template_id": id_of(sequence), "day": of}, columns)


def run(name: str, columns: Row, sequence: str = "outbound") -> Expected:
    return Expected("sequence_runs", {"sequence_template_id": uid(sequence), "sequence_id": uid(name)}, columns)


def contacted(on: int, runs: int, replies: int = 0, sequence: str | None = "outbound") -> Iterator[Activity]:
    """Yield runs that are enrolled at 8 and get an email at 9. Some reply with interest a day later."""
    for number in range(runs):
        name = f"{sequence} {on} {number}"
        yield enrolled(march(on, 8), name, sequence=sequence)
        yield sent(march(on, 9), name, sequence=sequence)
        if number < replies:
            yield replied(march(on + 1, 9), name, sequence=sequence, category="INTERESTED")


@case
def topos_own_example() -> Case:
    expected = [daily(of, columns) for of, columns in EXPECTED.items()]
    return Case(World(landed(FIRST + SECOND, day(1), day(2))), expected)


@case
def replies_to_an_invitation_count_before_the_first_message() -> Case:
    """40 are invited, 16 accept and reply. Then all get a message, and 8 of the 16 reply again with interest."""
    happened: list[Activity] = []
    for number in range(40):
        name = f"run {number}"
        happened += [enrolled(march(1, 8), name), Activity("invitation.sent", march(1, 9), name)]
        if number < 16:
            happened += [
                Activity("invitation.accepted", march(2), name),
                replied(march(3), name, channel="LINKEDIN", category="BAD_TIMING"),
            ]
        happened.append(sent(march(5), name, channel="LINKEDIN"))
        if number < 8:
            happened.append(replied(march(6), name, channel="LINKEDIN", category="INTERESTED"))
    touched = {
        **{"reply_rate_num": 16, "reply_rate_den": 40, "positive_reply_rate_num": 8, "positive_reply_rate_den": 40},
        **{"positive_share_of_replies_num": 8, "positive_share_of_replies_den": 16},
        **{"outcome_positive": 8, "outcome_neutral": 8, "outcome_none": 24},
    }
    early = {
        **{"eligible_3d": 40, "reply_3d_num": 16, "positive_reply_3d_num": 0},
        **{"reply_7d_num": 16, "positive_reply_7d_num": 8},
    }
    return Case(
        World(landed(happened, day(1), day(40))),
        [
            cohort("touched", day(1), {"members": 40, "replied_before_message": None, **touched, **early}),
            cohort("sent", day(1), None),
            cohort(
                "sent",
                day(5),
                {
                    **{"members": 24, "eligible": 24, "replied_before_message": 16, "outcome_none": None},
                    **{"reply_rate_num": 0, "reply_rate_den": 24, "reply_rate": 0.0, "positive_reply_rate_num": 0},
                },
            ),
            summary(
                {
                    **touched,
                    **{"message_reply_rate_num": 0, "message_reply_rate_den": 24, "replied_before_message": 16},
                    **{"members": 40, "eligible": 40, "reply_rank": 1, "unique_touched": 40, "unique_sent": 40},
                    **{"reply_rate_7d_num": 16, "reply_rate_7d_den": 40, "messages_per_positive_reply": 5.0},
                }
            ),
        ],
    )


@case
def one_reply_of_one_run_is_not_ranked() -> Case:
    """Neither is an archived sequence, however well it did."""
    happened = [
        *contacted(1, 1, 1, "lucky"),
        *contacted(1, 400, 60, "proven"),
        *contacted(1, 100, 50, "archived"),
        *contacted(1, 40, 2, "small"),
    ]
    world = World(
        landed(happened, day(1), day(40)),
        statuses={"archived": "ARCHIVED", "proven": "ACTIVE"},
        names={"archived": "Archived", "proven": "Proven"},
    )
    return Case(
        world,
        [
            summary({"reply_rate": 1.0, "reply_rate_evidence": "too_small", "reply_rank": None}, sequence="lucky"),
            summary({"reply_rate": 0.15, "reply_rate_evidence": "usable", "reply_rank": 1}, sequence="proven"),
            summary({"reply_rate": 0.5, "status": "ARCHIVED", "reply_rank": None}, sequence="archived"),
            summary({"reply_rate": 0.05, "reply_rate_evidence": "directional", "reply_rank": 2}, sequence="small"),
        ],
    )


@case
def seven_days_are_the_same_seven_days_in_every_table() -> Case:
    """400 messages a month ago, 100 last week."""
    happened = [*contacted(10, 400), *contacted(36, 100)]
    week = {"period_start": day(34), "period_end": day(40)}
    return Case(
        World(landed(happened, day(1), day(40))),
        [
            summary({**week, "total_sent": 100, "unique_sent": 100, "runs": 100, "persons": 1}, "7d"),
            # All windows of 30 days that began on 10 March or earlier have closed.
            summary({"rate_period_start": day(4), "rate_period_end": day(10), "reply_rate_den": 400}, "7d"),
            channel({"sends": 100}, "7d"),
            channel({"sends": 100}, "28d"),
            summary({"total_sent": 100}, "28d"),
            summary({"total_sent": 500}, "90d"),
            channel({"sends": 500}, "90d"),
            channel({"sends": 500}),
        ],
    )


def across_a_clock_change(last: date, first_of_28: date) -> Case:
    """A message half an hour before the first of the last 28 days, and one half an hour into it."""
    zone = "Europe/Paris"
    midnight = datetime.combine(first_of_28, datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
    before, inside = midnight.timestamp() - 1800, midnight.timestamp() + 1800
    happened = [sent(datetime.fromtimestamp(at, UTC), name) for name, at in (("A", before), ("B", inside))]
    start = date(first_of_28.year, first_of_28.month, first_of_28.day - 5)
    rules = Rules(tracking_off_sends=1)
    return Case(
        World(landed(happened, start, last, zone=zone), zone=zone, rules=rules),
        [
            summary({"period_start": first_of_28, "period_end": last, "total_sent": 1, "unique_sent": 1}, "28d"),
            channel({"sends": 1, "tracking_off": True}, "28d"),
            summary({"total_sent": 2}),
        ],
    )


@case
def twenty_eight_days_across_a_clock_change_in_spring() -> Case:
    return across_a_clock_change(date(2026, 4, 9), date(2026, 3, 13))


@case
def twenty_eight_days_across_a_clock_change_in_autumn() -> Case:
    return across_a_clock_change(date(2026, 11, 5), date(2026, 10, 9))


def around(odd: int, **flags: Any) -> Case:
    """Runs that start the day before a day that is not known, on it, and the day after it."""
    happened = [*contacted(odd - 1, 2, 1), *contacted(odd, 2, 1), *contacted(odd + 1, 3, 2)]
    missing = () if flags else (day(odd),)
    # Where the day is missing, so is the reply to the runs of the day before. Of its own runs, only a reply is left.
    is_there = bool(flags)
    unknown = {"days_unknown": 1, "is_mature": False}
    return Case(
        World(landed(happened, day(1), day(51), *missing), **flags),
        [
            cohort("touched", day(odd - 1), {"members": 2, "eligible": 2, "reply_rate_num": int(is_there), **unknown}),
            cohort("touched", day(odd - 1), {"eligible_3d": 0, "reply_3d_num": 0, "eligible_14d": 0}),
            *(
                cohort(
                    axis, day(odd), {"members": 2, "eligible": 2, "start_uncertain": 0, **unknown} if is_there else None
                )
                for axis in ("touched", "sent", "enrolled")
            ),
            cohort("touched", day(odd + 1), {"members": 3, "eligible": 3, "days_unknown": 0, "is_mature": True}),
            summary(
                {
                    **{"members": 7 if is_there else 5, "eligible": 3, "maturity": 3 / 7 if is_there else 3 / 5},
                    **{"reply_rate_num": 2, "reply_rate_den": 3},
                    **{"message_reply_rate_num": 2, "message_reply_rate_den": 3, "days_unknown": 1},
                    **{"rate_period_start": day(1), "cohort_days_left_out": 10},
                    **{"reply_rate_3d_den": 3, "runs_start_uncertain": 0 if is_there else 1},
                    **{"total_sent": 7 if is_there else 5, "unique_touched": 7 if is_there else 5},
                }
            ),
        ],
    )


@case
def a_day_read_at_noon_and_never_again() -> Case:
    found = around(10, open_days=frozenset({day(10)}))
    of_the_day = daily(day(10), {"is_closed": False, "is_known": False, "total_sent": 2})
    of_all = summary({"as_of": march(52, 0), "rate_period_end": day(21)})
    return Case(found.world, [*found.expected, of_the_day, of_all])


@case
def an_unproved_day_is_an_unknown_day() -> Case:
    """Also when it is the last one: as_of is then the end of the day before."""
    found = around(10, unproved_days=frozenset({day(10), day(51)}))
    of_the_day = daily(day(10), {"is_closed": True, "is_known": False, "total_sent": 2})
    of_all = summary({"as_of": march(51, 0), "rate_period_end": day(20), "period_end": day(51)})
    return Case(found.world, [*found.expected, of_the_day, of_all])


@case
def a_day_that_never_landed_is_an_unknown_day() -> Case:
    return around(10)


@case
def a_first_message_on_a_day_that_never_landed() -> Case:
    """What seems to be its first message is its second: no rate from a touch knows when it started."""
    happened = [
        enrolled(march(5)),
        sent(march(8)),
        replied(march(9), category="INTERESTED"),
        enrolled(march(7, 8), "B"),
        sent(march(7, 9), "B"),
        # Without an enrolment, and within 30 days of the missing day, but not of the first landed day.
        sent(march(33), "C"),
    ]
    return Case(
        World(landed(happened, day(1), day(70), day(6))),
        [
            run("A", {"start_uncertain": True, "left_censored": False, "touched_at": march(8)}),
            run("B", {"start_uncertain": False}),
            run("C", {"start_uncertain": True, "left_censored": False, "run_enrolled_at": None}),
            cohort("touched", day(8), {"members": 0, "start_uncertain": 1, "maturity": None, "reply_rate_den": 0}),
            cohort("sent", day(8), {"members": 0, "start_uncertain": 1, "replied_before_message": 0}),
            cohort("enrolled", day(5), {"members": 1, "start_uncertain": 0, "days_unknown": 1, "reply_rate_num": 1}),
            cohort("touched", day(7), {"members": 1, "start_uncertain": 0, "is_mature": True}),
            summary(
                {
                    **{"members": 1, "eligible": 1, "reply_rate_num": 0, "reply_rate_den": 1},
                    **{"message_reply_rate_den": 1, "runs_start_uncertain": 2, "unique_sent": 3, "unique_touched": 3},
                }
            ),
        ],
    )


@case
def a_cohort_whose_runs_are_in_no_rate_is_mature_only_once_their_windows_have_closed() -> Case:
    """The 6th is unknown. At the end of the 41st, windows of 30 days have closed if they began by the 11th."""
    happened = [
        *(enrolled(march(5)), sent(march(8))),
        *(enrolled(march(5), "B"), sent(march(20), "B")),
        *(enrolled(march(13, 8), "C"), Activity("invitation.sent", march(13), "C")),
        *(replied(march(14), "C", channel="LINKEDIN"), sent(march(15), "C")),
    ]
    uncertain = {"members": 0, "start_uncertain": 1, "eligible": 0, "days_unknown": 0, "reply_rate_den": 0}
    return Case(
        World(landed(happened, day(1), day(41), day(6))),
        [
            cohort("touched", day(8), uncertain | {"is_mature": True}),
            cohort("touched", day(20), uncertain | {"is_mature": False}),
            cohort("sent", day(15), {"members": 0, "replied_before_message": 1, "is_mature": False}),
        ],
    )


@case
def activities_without_a_sequence_count_for_that_of_their_run() -> Case:
    happened = [
        enrolled(march(1)),
        sent(march(2, 9), sequence=None),
        sent(march(2, 10), sequence=None),
        replied(march(3), sequence=None),
    ]
    in_activity = {"sequence_template_id": None, "sequence_id": uid("A"), "channel": "EMAIL", "day": day(2)}
    return Case(
        World(landed(happened, day(1), day(40))),
        [
            Expected("sequence_activity", in_activity, {"total_sent": 2, "persons_messaged": 1, "orphans": 0}),
            Expected("sequence_daily", {"sequence_template_id": None}, None),
            Expected("sequence_summary", {"sequence_template_id": None}, None),
            daily(day(2), {"total_sent": 2, "unique_sent": 1, "unique_touched": 1}),
            daily(day(3), {"total_valid_replies": 1, "unique_valid_replies": 1, "replies_pending": 1}),
            summary({"total_sent": 2, "unique_sent": 1, "reply_rate_num": 1, "reply_rate_den": 1}),
        ],
    )


@case
def only_active_sequences_are_silent_unusual_or_ranked() -> Case:
    """Five sequences do the same: ten messages or more on six Mondays, then nothing more, while another one goes on.

    Runs that name no sequence do the same too, but are no sequence.
    """
    statuses = {"active": "ACTIVE", "inactive": "INACTIVE", "finishing": "FINISHING", "archived": "ARCHIVED"}
    sequences = (*statuses, "unheard of", None)
    happened = [
        activity
        for sequence in sequences
        for on, runs in ((2, 9), (9, 10), (16, 10), (23, 11), (30, 10), (37, 30))
        for activity in contacted(on, runs, 2, sequence)
    ]
    happened.append(sent(march(44), "another", sequence="another"))
    expected: list[Expected] = []
    for sequence in sequences:
        is_judged = sequence in ("active", "unheard of")
        expected += [
            daily(
                day(44),
                {"total_sent": 0, "sent_expected": 10.0, "is_volume_anomaly": True if is_judged else None},
                sequence,
            ),
            summary(
                {
                    **{"status": statuses.get(sequence or ""), "is_silent": is_judged, "runs_active": 80},
                    **{"reply_rate_num": 12, "reply_rate_den": 80, "reply_rank": 1 if is_judged else None},
                },
                sequence=sequence,
            ),
            summary({"is_silent": None}, "7d", sequence),
        ]
    names = {name: name.title() for name in statuses}
    return Case(World(landed(happened, day(1), day(70)), statuses=statuses, names=names), expected)


@case
def instant_opens_are_counted_by_day() -> Case:
    happened = [
        *(enrolled(march(1, 8)), sent(march(1), step=1)),
        *(opened(march(1, 9, 0, 10)), opened(march(1, 9, 0, 11)), opened(march(2))),
        # Left-censored, and the open is of the next day.
        *(sent(march(1, 23, 59, 58), "B", step=1), opened(march(2, 0, 0, 3), "B")),
    ]
    return Case(
        World(landed(happened, day(1), day(40))),
        [
            daily(day(1), {"total_opens": 2, "opens_instant": 1, "unique_opens": 1}),
            daily(day(2), {"total_opens": 2, "opens_instant": 1, "unique_opens": 0}),
            run("A", {"opens_instant": 1}),
            Expected("workspace_daily", {"day": day(2)}, {"opens_instant": 1}),
            channel({"contact_open_rate_num": 1, "contact_open_rate_den": 1, "email_open_rate_adjusted_num": 1}),
        ],
    )


def five_of_ten_reply(begun: int = 1, sequence: str = "outbound") -> Iterator[Activity]:
    """Yield ten runs that get an email. Five reply on the next day, the others get a second email 19 days later."""
    for number in range(10):
        name = f"{sequence} {begun} {number}"
        yield enrolled(march(begun, 8), name, sequence=sequence)
        yield sent(march(begun), name, sequence=sequence)
        if number < 5:
            yield replied(march(begun + 1), name, sequence=sequence)
        else:
            yield sent(march(begun + 19), name, sequence=sequence, salt="second")


@case
def a_rate_over_contacts_does_not_depend_on_the_length_of_the_period() -> Case:
    """Ten runs begin every week. Their second emails are to those who did not reply."""
    happened = [activity for week in range(20) for activity in five_of_ten_reply(1 + 7 * week)]
    # The windows of 30 days from day 120 on have closed after day 150. Runs begin on days 1, 8, … 113, 120.
    begun = {"lifetime": 180, "90d": 130, "28d": 40, "7d": 10}
    return Case(
        World(landed(happened, day(1), day(150))),
        [
            channel({"contact_reply_rate": 0.5, "contact_reply_rate_den": runs}, period)
            for period, runs in begun.items()
        ],
    )


@case
def an_unknown_day_leaves_out_all_contacts_whose_windows_contain_it() -> Case:
    known, unknown = landed(five_of_ten_reply(), day(1), day(70)), frozenset({day(10)})
    nothing = {"contact_reply_rate_num": 0, "contact_reply_rate_den": 0, "contact_reply_rate": None}
    return Case(World(known, unproved_days=unknown), [channel(nothing)])


@case
def a_reply_at_the_instant_of_the_first_message_did_not_come_before_it() -> Case:
    happened = [
        *(enrolled(march(1, 8)), Activity("invitation.sent", march(1), channel="LINKEDIN")),
        *(replied(march(2), channel="LINKEDIN"), sent(march(2))),
    ]
    of_sent = {"replied_before_message": 0, "members": 1, "reply_rate_num": 1}
    return Case(World(landed(happened, day(1), day(40))), [cohort("sent", day(2), of_sent)])


@case
def a_reply_to_a_repeated_touch_counts_in_the_window_of_the_first() -> Case:
    """Step 1 is sent to A and to B on day 1 and again on day 10, and A replies on day 11. Day 20 is unknown."""
    happened = [
        activity
        for name in "AB"
        for activity in (
            *(enrolled(march(1, 8), name), sent(march(1), name, step=1), sent(march(10), name, step=1, salt="again")),
        )
    ]
    key = {"sequence_template_id": uid("outbound"), "step": 1}
    known = landed([*happened, replied(march(11))], day(1), day(70))
    half = {"step_reply_rate_num": 1, "step_reply_rate_den": 2, "left_out_for_reply": 0}
    return Case(World(known, unproved_days=frozenset({day(20)})), [Expected("sequence_steps", key, half)])


@case
def a_reply_on_an_unheard_of_channel_is_other() -> Case:
    happened = [enrolled(march(1, 8)), sent(march(1)), replied(march(2), channel="CARRIER_PIGEON")]
    return Case(
        World(landed(happened, day(1), day(2))),
        [run("A", {"reply_channel": "OTHER", "reply_attribution": "last_touch_any"})],
    )


@case
def a_task_without_an_id_counts_as_created_and_is_never_open() -> Case:
    happened = [
        enrolled(march(1, 8)),
        Activity("task.created", march(1, 9), channel="MANUAL"),
        Activity("task.created", march(1, 10), channel="MANUAL", task="call"),
        Activity("task.created", march(1, 11), channel="MANUAL", task="visit"),
        Activity("task.completed", march(1, 12), channel="MANUAL", task="visit"),
        # Closes no task: it names none.
        Activity("task.completed", march(1, 13), channel="MANUAL"),
    ]
    without_id, left_open, closed = ({"activity_id": happened[place].id} for place in (1, 2, 3))
    never_open = {"type": "task.created", "is_open_task": False, "closed_by": None}
    return Case(
        World(landed(happened, day(1), day(2))),
        [
            Expected("sequence_actions", without_id, never_open),
            Expected("sequence_actions", left_open, {"is_open_task": True, "closed_by": None}),
            Expected("sequence_actions", closed, {"is_open_task": False, "closed_by": "task.completed"}),
            channel({"open_tasks": 1, "task_completion_rate_num": 1, "task_completion_rate_den": 3}, name="MANUAL"),
        ],
    )


@case
def a_run_in_two_sequences_is_enrolled_once() -> Case:
    happened = [enrolled(march(1, 8)), sent(march(2), sequence="nurture"), sent(march(2), "B", sequence="nurture")]
    in_nurture = {"left_censored": False, "run_enrolled_at": march(1, 8), "enrolled_at": None}
    return Case(
        World(landed(happened, day(1), day(40))),
        [
            run("A", {"left_censored": False, "run_enrolled_at": march(1, 8), "touched_at": None, "outcome": None}),
            run("A", {**in_nurture, "outcome": "none"}, "nurture"),
            run("B", {"left_censored": True, "run_enrolled_at": None}, "nurture"),
            cohort("touched", day(2), {"members": 1, "eligible": 1}, "nurture"),
        ],
    )


@case
def a_run_without_a_reply_never_replied() -> Case:
    """A missing time must not become the end of the window."""
    silent = {"reply_rate_num": 0, "positive_reply_rate_num": 0, "meeting_rate_num": 0, "outcome_none": 5}
    early = {f"{name}_{length}d_num": 0 for name in ("reply", "positive_reply") for length in (3, 7, 14)}
    return Case(
        World(landed(contacted(1, 5), day(1), day(40)), rules=Rules(quantile_repliers=1)),
        [
            cohort("touched", day(1), {**silent, **early, "median_hours_to_first_reply": None, "replies_to_date": 0}),
            cohort("touched", day(1), {"reply_to_meeting_rate_den": 0, "reply_to_meeting_rate": None}),
            summary({**silent, "median_hours_to_reply": None, "touches_to_reply": None}),
            run("outbound 1 0", {"hours_to_first_reply": None, "first_valid_reply_at": None, "outcome": "none"}),
        ],
    )


@case
def the_outcome_is_the_strongest_answer_in_the_window() -> Case:
    """The hours count from the touch to the first valid reply at or after it."""
    happened = [
        *(enrolled(march(1, 8)), replied(march(1, 8, 30), category="INTERESTED")),
        *(sent(march(1, 9)), replied(march(2, 9), category="OUT_OF_OFFICE")),
        *(replied(march(3, 9), category="UNKNOWN"), replied(march(4, 9), category="UNSUBSCRIBED")),
        Activity("meeting.created", march(31, 9, 0, 1)),  # a second too late
    ]
    return Case(
        World(landed(happened, day(1), day(40))),
        [
            run("A", {"outcome": "opt_out", "hours_to_first_reply": 48.0}),
            run("A", {"first_classified_reply_at": march(1, 8, 30), "reply_attribution": "none"}),
            cohort(
                "touched",
                day(1),
                {
                    **{"outcome_opt_out": 1, "outcome_meeting": 0, "reply_rate_num": 1, "positive_reply_rate_num": 0},
                    **{"classification_coverage_num": 1, "classification_coverage_den": 1, "meetings_to_date": 1},
                },
            ),
            cohort("sent", day(1), {"members": 0, "replied_before_message": 1}),
        ],
    )


@functools.cache
def defined(name: str) -> dict[str, list[Row]]:
    """Return the tables of a case as their definitions say."""
    return tables(CASES[name]().world)


@pytest.mark.parametrize("name", CASES)
def test_the_definitions_come_to_what_the_specification_says(name: str) -> None:
    for expected in CASES[name]().expected:
        expected.check(defined(name))


# Random worlds compare all tables with the definitions, and the test above these with the specification.
SOME = [*CASES][::12]


@pytest.mark.parametrize(
    "name", [*SOME, *(pytest.param(name, marks=pytest.mark.full) for name in CASES if name not in SOME)]
)
def test_the_tables_come_to_what_the_specification_says(workspace: Workspace, name: str) -> None:
    """The tables of which the case says something, because most of the time goes into the others."""
    found = CASES[name]()
    land_world(workspace, found.world)
    workspace.build()
    rows = {table: workspace.rows(table) for table in {expected.table for expected in found.expected}}
    for expected in found.expected:
        expected.check(rows)
    for table, built in rows.items():
        assert canonical(built) == canonical(defined(name)[table]), table


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_every_table_comes_to_what_the_definitions_say(workspace: Workspace, name: str) -> None:
    land_world(workspace, CASES[name]().world)
    workspace.build()
    rows = workspace.all_rows()
    for table, wanted in defined(name).items():
        assert canonical(rows[table]) == canonical(wanted), table
