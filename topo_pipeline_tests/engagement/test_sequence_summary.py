"""The summary of a sequence over its whole life: rates over runs whose window has closed, and ranks."""

import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

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
)
from topo_pipeline_tests.engagement.oracle import OUTCOMES, PERIODS, RATES, days, rate

DAY_1 = date(2026, 3, 1)
LAST_DAY = date(2026, 4, 30)
AS_OF = datetime(2026, 5, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
STARTED = march(1)
LINES = [(29, 29), (30, 0), (99, 50), (100, 4), (100, 5)]  # runs and replies on both sides of each line of evidence


cases = Cases()


@pytest.fixture(scope="module")
def together(shared: Workspace) -> Workspace:
    """All cases, with every day from 1 March to 30 April known."""
    shared.land_all(cases.activities, *days(DAY_1, LAST_DAY))
    for names in NAMED:
        shared.name(
            **{f"{case} {sequence}": name for case, of_case in names.items() for sequence, name in of_case.items()}
        )
    shared.build()
    return shared


def contacted(runs: Iterable[str], at: datetime = STARTED, **details: str) -> Iterator[Activity]:
    """Yield an enrolment and a first message of each run, an hour apart."""
    for run in runs:
        yield enrolled(at - timedelta(hours=1), run, **details)
        yield sent(at, run, **details)


def cohort(sequence: str, runs: int, replies: int) -> Iterator[Activity]:
    """Yield runs contacted on 1 March. The first of them reply on the 2nd."""
    names = [f"{sequence} {number}" for number in range(runs)]
    yield from contacted(names, sequence=sequence)
    for run in names[:replies]:
        yield replied(march(2), run, sequence=sequence)


def share(row: Row, name: str) -> tuple[int, int]:
    return row[f"{name}_num"], row[f"{name}_den"]


JUST_CLOSED = AS_OF - 30 * DAY


@cases.happened(*contacted("A", JUST_CLOSED), *contacted("B", JUST_CLOSED + SECOND))
def test_a_run_is_eligible_from_the_second_in_which_its_window_closes(case: Workspace) -> None:
    summary = case.summary()
    assert summary["as_of"] == AS_OF
    assert (summary["unique_sent"], summary["members"], summary["eligible"], summary["maturity"]) == (2, 2, 1, 0.5)
    # The first windows that end after the last known day are those of 1 April.
    assert (summary["rate_period_start"], summary["rate_period_end"]) == (DAY_1, date(2026, 3, 31))


CLOSES = march(1) + 30 * DAY


@cases.happened(*contacted("ABC"), replied(CLOSES, "A"), replied(CLOSES + SECOND, "B"))
def test_a_reply_after_the_window_is_in_the_totals_and_in_no_rate(case: Workspace) -> None:
    summary = case.summary()
    assert (share(summary, "reply_rate"), summary["unique_replies"], summary["total_replies"]) == ((1, 3), 2, 2)


def test_the_window_is_a_setting(workspace: Workspace) -> None:
    workspace.land_all([*contacted("A"), replied(march(4))], *days(DAY_1, date(2026, 3, 9)))
    workspace.build(rules=Rules(reply_window_days=2))
    assert share(workspace.summary(), "reply_rate") == (0, 1)
    workspace.build(rules=Rules(reply_window_days=3))
    assert share(workspace.summary(), "reply_rate") == (1, 1)


REPLIES = {
    "pending": None,
    "neutral": "REFERRAL",
    "negative": "NOT_INTERESTED",
    "opt_out": "UNSUBSCRIBED",
    "out_of_office": "OUT_OF_OFFICE",
    "bounced": "SPAM_FILTER",
    "unknown": "UNKNOWN",
    "positive": "INTERESTED",
}


@cases.happened(
    *contacted(REPLIES),
    *(replied(march(2), name, category=category) for name, category in REPLIES.items()),
    *(replied(march(3), name, category=category) for name, category in REPLIES.items()),
)
def test_replies_and_outcomes_are_counted_by_class(case: Workspace) -> None:
    summary = case.summary()
    classes = [name for name in REPLIES if name != "positive"]
    assert {name: summary[f"replies_{name}"] for name in classes} == dict.fromkeys(classes, 2)
    assert (summary["total_replies"], summary["total_valid_replies"], summary["total_positive_replies"]) == (16, 12, 2)
    expected = {name: int(name in REPLIES) for name in OUTCOMES}
    assert {name: summary[f"outcome_{name}"] for name in OUTCOMES} == expected
    assert summary["eligible"] == sum(expected.values()) == 8
    assert summary["messages_per_positive_reply"] == 8 / 2


INVITED = [str(number) for number in range(10)]


@cases.happened(
    *(did for run in INVITED for did in (enrolled(march(1, 8), run), Activity("invitation.sent", march(1), run))),
    *(replied(march(2), run, channel="LINKEDIN") for run in INVITED[:4]),
    *(sent(march(3), run, channel="LINKEDIN") for run in INVITED[:9]),
    *(replied(march(4), run, channel="LINKEDIN") for run in INVITED[3:6]),
)
def test_a_message_reply_rate_leaves_out_runs_that_replied_before_their_first_message(case: Workspace) -> None:
    """Four reply to the invitation, one of them again. The last one never gets a message."""
    summary = case.summary()
    assert share(summary, "reply_rate") == (6, 10)
    assert share(summary, "message_reply_rate") == (2, 5)
    assert summary["message_reply_rate"] == 2 / 5
    assert summary["replied_before_message"] == 4
    assert (summary["members"], summary["unique_touched"], summary["unique_sent"]) == (10, 10, 9)


@cases.happened(
    *(enrolled(march(1, 8)), replied(march(1), channel="LINKEDIN"), Activity("meeting.created", march(1))),
    sent(march(2)),
)
def test_a_reply_or_meeting_before_the_first_touch_is_in_no_rate(case: Workspace) -> None:
    summary = case.summary()
    assert (share(summary, "reply_rate"), share(summary, "meeting_rate")) == ((0, 1), (0, 1))
    assert (summary["unique_replies"], summary["unique_meetings"]) == (1, 1)


@cases.happened(*contacted("A", march(59)))
def test_a_rate_over_nothing_is_null_and_never_zero(case: Workspace) -> None:
    summary = case.summary()
    early = [f"{name}_14d" for name in ("reply_rate", "positive_reply_rate")]
    for name in (*RATES, "message_reply_rate", *early):
        assert share(summary, name) == (0, 0)
        assert (summary[name], summary[f"{name}_low"], summary[f"{name}_high"]) == (None, None, None)
        assert summary[f"{name}_evidence"] == "none"
    assert (summary["reply_rank"], summary["maturity"], summary["contacts_per_meeting"]) == (None, 0.0, None)
    assert (summary["messages_per_positive_reply"], summary["median_hours_to_reply"]) == (None, None)


@cases.happened(enrolled(march(1)))
def test_maturity_over_no_contact_is_null(case: Workspace) -> None:
    assert (case.summary()["members"], case.summary()["maturity"]) == (0, None)


@cases.happened(*(did for runs, replies in LINES for did in cohort(f"{replies} of {runs}", runs, replies)))
def test_a_rate_has_its_interval_and_its_evidence(case: Workspace) -> None:
    for runs, replies in LINES:
        name = f"{replies} of {runs}"
        summary, expected = case.summary(name), rate("reply_rate", replies, runs)
        assert canonical([{column: summary[column] for column in expected}]) == canonical([expected]), name


@cases.happened(
    *contacted("ABCDEFGH"),
    *(Activity("meeting.created", march(2), run) for run in "AB"),
    Activity("meeting.created", march(3), "A"),
    Activity("meeting.created", CLOSES + SECOND, "C"),
)
def test_contacts_per_meeting_are_eligible_runs_per_run_with_a_meeting_in_time(case: Workspace) -> None:
    assert (case.summary()["contacts_per_meeting"], case.summary()["total_meetings"]) == (4.0, 4)


@pytest.mark.parametrize(
    ("case", "median"),
    [
        (
            cases.add(
                *contacted("ABCDEFG"),
                *(replied(march(1, 10 + n), run) for n, run in enumerate("ABCDE"[:repliers])),
                # Before its touch, automatic, and too late.
                replied(march(1, 8, 30), "E"),
                replied(march(1, 10), "F", category="OUT_OF_OFFICE"),
                replied(CLOSES + SECOND, "G"),
            ),
            median,
        )
        for repliers, median in ((4, None), (5, 3.0))
    ],
    indirect=["case"],
    ids=["four", "five"],
)
def test_the_median_hours_to_a_reply_need_five_repliers(case: Workspace, median: float | None) -> None:
    assert case.summary()["median_hours_to_reply"] == (None if median is None else pytest.approx(median))


@cases.happened(
    *contacted(["A", "B"], person="Ada"), *contacted(["C"], person="Bob"), *contacted(["D"], march(60), person="Ada")
)
def test_a_person_in_several_runs_counts_once(case: Workspace) -> None:
    lifetime, week = case.summary(), case.summary(period="7d")
    assert (lifetime["runs"], lifetime["persons"]) == (4, 2)
    assert (week["runs"], week["persons"]) == (1, 1)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Workspace:
    workspace = Workspace(str(shutil.copy(empty_file, tmp_path_factory.mktemp("ranked"))))
    sizes = {
        **{"lucky": (1, 1), "almost": (29, 29), "proven": (60, 30), "hopeful": (30, 15), "silent": (40, 0)},
        **{"quiet": (40, 0), "archived": (100, 90), "finishing": (100, 80), "nameless": (100, 60)},
    }
    happened = [activity for name, size in sizes.items() for activity in cohort(name, *size)]
    happened += contacted(["young"], AS_OF - DAY, sequence="young")
    workspace.land_all(happened, *days(DAY_1, LAST_DAY))
    workspace.name(**{name: name for name in sizes if name not in ("archived", "finishing", "nameless", "quiet")})
    workspace.name("ARCHIVED", archived="Archived")
    workspace.name("FINISHING", finishing="Finishing")
    workspace.name(None, quiet="Quiet")
    workspace.build()
    return workspace


def test_sequences_are_ranked_by_the_shrunken_rate_and_equal_ones_share_a_rank(ranked: Workspace) -> None:
    """Half of the contacts of two sequences replied, less than the mean: the smaller one is nearer to the mean."""
    names = ("nameless", "proven", "hopeful", "silent", "quiet")
    ranks = {name: ranked.summary(name)["reply_rank"] for name in names}
    assert ranks == {"nameless": 1, "hopeful": 2, "proven": 3, "silent": 4, "quiet": 4}


@pytest.mark.parametrize(("sequence", "evidence"), [("lucky", "too_small"), ("almost", "too_small"), ("young", "none")])
def test_a_sequence_with_little_evidence_is_not_ranked(ranked: Workspace, sequence: str, evidence: str) -> None:
    row = ranked.summary(sequence)
    assert (row["reply_rate_evidence"], row["reply_rank"]) == (evidence, None)


@pytest.mark.parametrize("sequence", ["archived", "finishing"])
def test_a_sequence_that_is_known_not_to_be_active_is_not_ranked_and_keeps_its_figures(
    ranked: Workspace, sequence: str
) -> None:
    row = ranked.summary(sequence)
    assert (row["status"], row["reply_rank"]) == (sequence.upper(), None)
    assert (row["reply_rate_den"], row["reply_rate_evidence"]) == (100, "usable")


@pytest.mark.parametrize("kind", ["open_days", pytest.param("unproved_days", marks=pytest.mark.full)])
def test_as_of_is_the_end_of_the_last_known_day(workspace: Workspace, kind: str) -> None:
    last = date(2026, 3, 5)
    happened = [enrolled(march(1)), sent(march(4)), replied(march(5))]
    workspace.land_all(happened, **{kind: [last]})  # type: ignore[arg-type]
    workspace.build()
    assert (workspace.summary()["as_of"], workspace.summary()["days_unknown"]) == (march(5, 0), 2)
    assert workspace.summary()["total_replies"] == 1
    workspace.land(last, [replied(march(5))])
    workspace.build()
    assert (workspace.summary()["as_of"], workspace.summary()["days_unknown"]) == (march(6, 0), 2)


def test_no_number_depends_on_the_time_of_the_build(workspace: Workspace) -> None:
    workspace.land_all(cohort("outbound", 3, 1), date(2026, 3, 5))
    workspace.build()
    before = workspace.all_rows()
    workspace.now += timedelta(days=400)
    workspace.build(full_refresh=True)
    assert workspace.all_rows() == before


HOSTILE = "a | b\n| c <script>alert(1)</script> \u202eevil' ; DROP TABLE topo.activities; --" + "x" * 500


@cases.happened(enrolled(march(1)), enrolled(march(1), "B", sequence="nurture"), enrolled(march(1), "C", sequence=None))
def test_names_and_status_are_those_of_the_templates_unchanged(case: Workspace) -> None:
    assert (case.summary()["sequence_name"], case.summary()["status"]) == (HOSTILE, "ACTIVE")
    assert (case.summary("nurture")["sequence_name"], case.summary("nurture")["status"]) == (None, None)
    assert case.summary(None)["sequence_name"] is None
    assert case.rows_of("sequence_summary", "unused") == []
    assert {len(case.rows_of("sequence_summary", name)) for name in ("outbound", "nurture", None)} == {len(PERIODS)}


@cases.happened(enrolled(march(1)), enrolled(march(1), "B", sequence="nurture"))
def test_a_sequence_keeps_the_newest_name_and_the_last_known_one_when_its_template_disappears(case: Workspace) -> None:
    names = {key: case.summary(key)["sequence_name"] for key in ("outbound", "nurture")}
    assert names == {"outbound": "New", "nurture": "Nurture"}
    assert case.summary("nurture")["status"] == "ACTIVE"


# The names of sequences by case, as the API has them at first and later.
HOSTILE_CASE = cases.of("test_names_and_status_are_those_of_the_templates_unchanged")
RENAMED_CASE = cases.of("test_a_sequence_keeps_the_newest_name_and_the_last_known_one_when_its_template_disappears")
UNCHANGED = {HOSTILE_CASE: {"outbound": HOSTILE, "unused": "Never ran"}}
NAMED = (
    UNCHANGED | {RENAMED_CASE: {"outbound": "Old", "nurture": "Nurture"}},
    UNCHANGED | {RENAMED_CASE: {"outbound": "New"}},
)
