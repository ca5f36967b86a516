"""Days of unusual volume, against the same weekday of weeks before; sequences that have fallen silent."""

from datetime import date, timedelta
from typing import Any

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, sent

MONDAY = date(2026, 3, 2)


def on_mondays(workspace: Workspace, *counts: int | None, is_open: bool = False) -> dict[str, Any]:
    """So many messages Monday after Monday (None: the day never landed); the row of the last of them."""
    loads: list[tuple[date, list[Activity]]] = []
    for week, count in enumerate(counts):
        if count is not None:
            at = march(2) + timedelta(weeks=week)
            loads.append((at.date(), [sent(at, run=f"{week} {n}") for n in range(count)]))
            loads.append((at.date() - timedelta(days=1), [sent(at - timedelta(days=1), run=f"sunday {week}")]))
    last = MONDAY + timedelta(weeks=len(counts) - 1)
    workspace.land_each(loads, still_open=last if is_open else None)
    workspace.build()
    return workspace.daily()[last]


@pytest.mark.parametrize(
    ("count", "deviation", "is_anomaly"),
    [(40, 15.0, True), (16, 3.0, True), (15, 2.5, False), (10, 0.0, False), (4, -3.0, True)],
)
def test_a_volume_is_unusual_from_three_deviations_on(
    workspace: Workspace, count: int, deviation: float, is_anomaly: bool
) -> None:
    row = on_mondays(workspace, 8, 12, 8, 12, 10, 10, 12, 8, count)
    assert (row["sent_expected"], row["sent_deviation"], row["is_volume_anomaly"]) == (10.0, deviation, is_anomaly)


def test_eight_weeks_are_looked_back_and_no_more(workspace: Workspace) -> None:
    row = on_mondays(workspace, 999, 8, 12, 8, 12, 8, 12, 8, 12, 40)
    assert row["sent_expected"] == 10.0


def test_three_known_weeks_are_too_few(workspace: Workspace) -> None:
    row = on_mondays(workspace, None, 8, 12, 10, 40)
    assert (row["sent_expected"], row["sent_deviation"], row["is_volume_anomaly"]) == (None, None, None)


def test_a_day_that_never_landed_is_no_day_without_messages(workspace: Workspace) -> None:
    assert on_mondays(workspace, 8, None, 12, None, 8, 12, 10)["sent_expected"] == 10.0


def test_where_nothing_ever_varied_no_deviation_can_be_told(workspace: Workspace) -> None:
    row = on_mondays(workspace, 10, 10, 10, 10, 40)
    assert (row["sent_expected"], row["sent_deviation"], row["is_volume_anomaly"]) == (10.0, None, None)


def test_a_day_that_is_open_is_no_anomaly(workspace: Workspace) -> None:
    row = on_mondays(workspace, 8, 12, 8, 12, 1, is_open=True)
    assert (row["sent_expected"], row["is_volume_anomaly"]) == (10.0, None)


@pytest.mark.parametrize(("counts", "expected"), [((8, 12, 8, 1, 10), None), ((8, 12, 8, 12, 1, 10), 10.0)])
def test_a_day_that_is_open_is_nobodys_usual(
    workspace: Workspace, counts: tuple[int, ...], expected: float | None
) -> None:
    mondays = [march(2) + timedelta(weeks=week) for week in range(len(counts))]
    happened = [sent(at, run=f"{at} {n}") for at, count in zip(mondays, counts, strict=True) for n in range(count)]
    workspace.land_all(happened, still_open=mondays[counts.index(1)].date())
    workspace.build()
    assert workspace.daily()[MONDAY + timedelta(weeks=len(counts) - 1)]["sent_expected"] == expected


def silence(workspace: Workspace, *happened: Activity, days: int = 12, without: int | None = None) -> bool | None:
    """Whether the sequence is silent after so many days of March from Monday the 2nd on."""
    quiet = [march(day).date() for day in range(2, 2 + days) if day != without]
    workspace.land_all([enrolled(march(2, 8)), sent(march(2)), *happened], *quiet)
    workspace.build()
    found: bool | None = workspace.summary()["is_silent"]
    return found


def test_a_sequence_with_active_runs_and_no_message_for_three_business_days_is_silent(workspace: Workspace) -> None:
    assert silence(workspace, sent(march(10)))  # Tuesday; known up to Friday the 13th


@pytest.mark.parametrize("touch", ["message.sent", "invitation.sent"])
def test_a_message_or_an_invitation_on_the_third_last_business_day_breaks_the_silence(
    workspace: Workspace, touch: str
) -> None:
    assert silence(workspace, Activity(touch, march(11), channel="LINKEDIN")) is False


def test_a_weekend_is_no_business_day_but_a_message_on_it_is_one(workspace: Workspace) -> None:
    """Known up to Monday the 9th: Thursday, Friday and Monday count."""
    assert silence(workspace, sent(march(4)), days=8)
    assert silence(workspace, sent(march(5)), days=8) is False
    assert silence(workspace, sent(march(7)), days=8) is False


def test_a_reply_breaks_no_silence(workspace: Workspace) -> None:
    assert silence(workspace, Activity("message.replied", march(12)))


def test_a_sequence_whose_runs_have_all_ended_is_not_silent(workspace: Workspace) -> None:
    assert silence(workspace, Activity("sequence.completed", march(3))) is False


def test_a_sequence_whose_runs_are_all_paused_is_not_silent(workspace: Workspace) -> None:
    assert silence(workspace, Activity("sequence.paused", march(3))) is False
    workspace.land(march(4).date(), [Activity("sequence.resumed", march(4))])
    workspace.build()
    assert workspace.summary()["is_silent"]


def test_where_a_day_is_missing_nobody_knows(workspace: Workspace) -> None:
    assert silence(workspace, without=12) is None
    assert silence(workspace, sent(march(11)), without=12) is False


def test_a_history_shorter_than_the_silence_knows_of_none(workspace: Workspace) -> None:
    workspace.land_all([enrolled(march(2))], march(3).date())
    workspace.build()
    assert workspace.summary()["is_silent"] is None


def test_silence_is_told_of_the_lifetime_alone_and_its_length_is_a_setting(workspace: Workspace) -> None:
    assert silence(workspace, sent(march(10)))
    assert {workspace.summary(period=period)["is_silent"] for period in ("7d", "28d", "90d")} == {None}
    workspace.build(rules=Rules(silent_business_days=4))
    assert workspace.summary()["is_silent"] is False
