"""What is said about a sequence: which one is meant, and sentences for each state of its numbers."""

from datetime import date
from typing import Any

import pytest

from topo_pipeline.engagement import sentences
from topo_pipeline.engagement.explanation import Explanation, explain, explanations, find
from topo_pipeline.engagement.leaderboard import SequenceUnclear
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline_tests.engagement.helpers import Workspace, march, sent, uid
from topo_pipeline_tests.engagement.oracle import days
from topo_pipeline_tests.engagement.test_comparison import cohort

DAYS = list(days(date(2026, 3, 1), date(2026, 4, 30)))
NAMES = {"big": "Founders UK", "small": "Founders US", "later": "CFOs [Benelux]", "over": "Founders UK"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """`big` has a rate, `small` needs four more contacts for a rank and has five in flight, `later` has only those."""
    workspace = Workspace(str(tmp_path_factory.mktemp("explained") / "topo.duckdb"))
    workspace.land_all(
        [
            *cohort("big", 60, 12),
            *cohort("small", 26, 2),
            *(sent(march(40, minute=n), f"small late {n}", sequence="small") for n in range(2)),
            *(sent(march(45, minute=n), f"small later {n}", sequence="small") for n in range(3)),
            *(sent(march(50, minute=n), f"later {n}", sequence="later") for n in range(4)),
            *cohort("over", 40, 4),
        ],
        *DAYS,
    )
    workspace.name(**{key: name for key, name in NAMES.items() if key != "over"})
    workspace.name("ARCHIVED", over=NAMES["over"])
    workspace.build()
    return workspace


READ = ("sequence_summary", "sequence_signals", "sequence_forecast", "sequence_cohorts")


def explained(workspace: Workspace, sequence: str) -> dict[str, str]:
    with workspace.seeing(*READ) as connection:
        found: Explanation = explain(connection, uid(sequence), DEFAULT_RULES)
    assert found.last_day == DAYS[-1]
    return dict(found.parts)


def found(workspace: Workspace, text: str) -> str:
    with workspace.seeing(*READ) as connection:
        return find(connection, text)


@pytest.mark.parametrize("text", ["Founders US", "founders us", " ders US ", uid("small"), uid("small").upper()])
def test_a_sequence_is_found_by_its_id_its_name_or_a_part_of_it(workspace: Workspace, text: str) -> None:
    assert found(workspace, text) == uid("small")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("founders", "3 sequences match 'founders'"),
        ("Founders UK", uid("over")),  # two have this name, so their ids are listed
        ("Fuonders US", "Did you mean: Founders US"),
        ("zzz", "topo-pipeline sequences"),
        ("", "topo-pipeline sequences"),
    ],
)
def test_an_unclear_name_is_an_error_with_the_candidates(workspace: Workspace, text: str, says: str) -> None:
    with pytest.raises(SequenceUnclear, match=says):
        found(workspace, text)


def test_the_reply_rate_says_from_how_many_contacts_and_when_they_were_touched(workspace: Workspace) -> None:
    # Wilson's range of 12 of 60, and of 2 of 26.
    assert explained(workspace, "big")["Reply rate"] == (
        "12 of 60 contacts replied within 30 days: 20.0%, likely range 11.8–31.8%. This counts contacts first"
        " messaged or invited between 1 March 2026 and 31 March 2026."
    )
    assert "2 of 26 contacts replied within 30 days: 7.7%" in explained(workspace, "small")["Reply rate"]
    assert "From so few contacts, this says little." in explained(workspace, "small")["Reply rate"]
    assert explained(workspace, "later")["Reply rate"] == "Not known yet: no contact's 30 days are over."


def test_a_rank_that_is_missing_is_announced_for_the_day_when_enough_contacts_are_counted(
    workspace: Workspace,
) -> None:
    parts = explained(workspace, "small")
    assert parts["Rank"] == "None: needs 30 contacts whose 30 days are over; 26 so far."
    # Of those first touched on 9 April, the last of 30 days is 9 May, so that 28 count on 10 May, and 31 on 15 May.
    assert parts["When more is known"] == (
        "The next contacts are counted on 10 May 2026. On 15 May 2026 enough are counted for a rank."
    )
    assert "rank" not in explained(workspace, "later")["When more is known"]
    assert explained(workspace, "over")["Rank"] == "None: the status is ARCHIVED."
    assert explained(workspace, "big")["When more is known"].startswith("Nothing until more contacts are messaged")


def test_every_part_is_said_of_every_sequence(workspace: Workspace) -> None:
    for name in NAMES:
        parts = explained(workspace, name)
        assert [*parts] == [
            "Reply rate", "Rank", "Early read", "Change", "Still to come", "When more is known", "Comparison",
        ]  # fmt: skip
        assert all(text.endswith(".") and "None," not in text and "nan" not in text for text in parts.values())


def test_all_sequences_are_explained_as_each_one_alone(workspace: Workspace) -> None:
    with workspace.seeing(*READ) as connection:
        together = explanations(connection, DEFAULT_RULES)
        assert {uid(name) for name in NAMES} <= together.keys()
        assert together == {id_: explain(connection, id_, DEFAULT_RULES) for id_ in together}


RANKED = {"reply_rank": 2, "ranked": 9, "standing": None, "chance_below_first": None, "other_name": "X"}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (RANKED | {"reply_rank": 1, "standing": "best"}, "The chance that it is the best is at least 80%."),
        (
            RANKED | {"reply_rank": 1, "standing": "leads", "chance_above_next": "likely"},
            "It is likely above the next, X, but not clearly the best.",
        ),
        (
            RANKED | {"reply_rank": 1, "standing": "leads", "chance_above_next": "about_even"},
            "It leads, but is not clearly above the next, X.",
        ),
        (RANKED | {"chance_below_first": "very_likely"}, "It is very likely below the first, X."),
        (RANKED | {"chance_below_first": "about_even"}, "It is not clearly below the first, X."),
        (RANKED | {"reply_rank": 1, "ranked": 1}, "The only sequence with enough contacts for a rank."),
        (RANKED | {"other_name": None}, "2 of 9 ranked sequences, by reply rate adjusted for the number of contacts."),
    ],
)
def test_a_rank_says_how_sure_it_is(row: dict[str, Any], says: str) -> None:
    assert sentences.rank(row).endswith(says)


CHANGED = {
    "signal": "down", "halving_noticeable": True, "change_days_left_out": 0, "current_replies": 1,
    "current_worth": 50.0, "baseline_worth": 100.0,
    "baseline_replies": 20, "common_change": 0.9, "monday": date(2026, 5, 4),
}  # fmt: skip


def test_a_change_says_what_came_and_what_was_expected() -> None:
    # 50 of 100 worth of contacts, 20 replies before, the others at 0.9 of their baselines: 9.0.
    assert sentences.change(CHANGED) == (
        "Replies have gone down: 1 reply so far from the contacts of the four weeks before 4 May 2026. About 9.0 were"
        " expected, given its eight weeks before and the other sequences."
    )
    assert sentences.change(CHANGED | {"signal": "up"}).startswith("Replies have gone up")
    unclear = CHANGED | {"signal": "no_clear_change"}
    assert sentences.change(unclear).startswith("No clear change: 1 reply so far")
    assert sentences.change(unclear | {"halving_noticeable": False}).startswith(
        "Not known, because with so few contacts even a fall to half would usually go unnoticed: 1 reply so far"
    )
    silent = {"signal": None, "signal_reason": "needs 30 contacts; 3 so far"}
    assert sentences.change(CHANGED | silent) == "Not judged: needs 30 contacts; 3 so far."


EARLY = {
    "early_rate": 0.1, "early_rate_low": 0.05, "early_rate_high": 0.2, "early_rate_num": 1, "early_rate_den": 10.2,
    "early_contacts": 14, "early_first_day": date(2026, 4, 3), "early_rate_of_all": 0.08, "early_pending": 0,
    "early_rate_evidence": "too_small", "early_days_left_out": 0,
}  # fmt: skip


def test_an_early_read_is_given_next_to_that_of_all_sequences_and_with_replies_not_classified() -> None:
    assert sentences.early_read(EARLY) == (
        "1 of the 14 contacts first messaged or invited since 3 April 2026 has replied so far. Allowing for"
        " the replies still to come, if they come as fast as usual: 10.0%, likely range 5.0–20.0%. From so few"
        " contacts, this says little. All sequences together: 8.0%."
    )
    assert "Topo has not classified 3 of the replies yet." in sentences.early_read(EARLY | {"early_pending": 3})
    none = {"early_rate": None, "early_reason": "no contact in the last 28 days"}
    assert sentences.early_read(EARLY | none) == "None: no contact in the last 28 days."
    left_out = "The contacts of 2 days are left out, because a day since then was not read in full."
    assert sentences.early_read(EARLY | {"early_days_left_out": 2}).endswith(f"8.0%. {left_out}")
    assert sentences.change(CHANGED | {"change_days_left_out": 2}).endswith(f"the other sequences. {left_out}")


EXPECTED = {
    "outcome": "valid_reply", "horizon_days": 7, "expected": 31.4, "expected_low": 21.6, "expected_high": 41.2,
    "past_within": 10, "past_forecasts": 12, "reason": None,
}  # fmt: skip


def test_a_forecast_has_its_range_and_record_or_the_reason_why_there_is_none() -> None:
    later = EXPECTED | {
        "horizon_days": 30, "expected": 2.04, "expected_low": None,
        "reason": "no range yet: it needs 12 past forecasts and has 3",
    }  # fmt: skip
    assert sentences.forecast([EXPECTED, later]) == (
        "Replies from contacts already messaged or invited, if they reply as others did before: about 31 in the next 7"
        " days (80% range 22–41, right 10 of the last 12 times), and about 2 in the next 30 days (no range"
        " yet: it needs 12 past forecasts and has 3)."
    )
    unknown = EXPECTED | {"outcome": "meeting", "expected": None, "reason": "needs 60 meetings; 4 so far"}
    assert sentences.forecast([unknown, unknown]) == "Meetings: not known, needs 60 meetings; 4 so far."
    none = EXPECTED | {"expected": 0.0, "expected_low": None, "reason": "no contact in flight"}
    assert sentences.forecast([none, none]) == "Replies: none expected, no contact in flight."


def test_contacts_needed_are_left_out_where_the_others_have_too_few() -> None:
    row = {"contacts_needed_higher": 158, "contacts_needed_lower": None, "contacts_counted": 44.6}
    assert sentences.contacts_needed(row, 2.0) == (
        "To detect a difference from the other sequences in 4 of 5 cases if you look once, it needs 158 contacts if its"
        " reply rate is twice theirs. It has 45 (new contacts count in part)."
    )
    assert "too few" in sentences.contacts_needed(row | {"contacts_needed_higher": None}, 2.0)
