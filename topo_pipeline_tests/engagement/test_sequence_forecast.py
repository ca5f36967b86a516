"""What is still to come, and when a forecast has a range."""

from datetime import date

import pytest

from topo_pipeline_tests.engagement.helpers import Activity, Row, Workspace, march
from topo_pipeline_tests.engagement.oracle import days
from topo_pipeline_tests.engagement.test_reply_timing import contacts
from topo_pipeline_tests.engagement.test_sequence_signals import RULES, STEADY

LAST = march(27).date()


def built(workspace: Workspace, *activities: Activity, last: date = LAST) -> Workspace:
    workspace.rules = RULES
    by_then = [activity for activity in activities if activity.created_at.date() <= last]
    workspace.land_all(by_then, *days(march(1).date(), last))
    workspace.build("sequence_runs", "sequence_forecast")
    return workspace


def forecast(workspace: Workspace, scope: str, horizon: int = 7, outcome: str = "valid_reply") -> Row:
    [row] = [
        row
        for row in workspace.rows("sequence_forecast")
        if (row["scope"], row["horizon_days"], row["outcome"]) == (scope, horizon, outcome)
    ]
    return row


def test_what_is_to_come_follows_from_the_contacts_without_a_reply(workspace: Workspace) -> None:
    """Half of the contacts reply, on the day of the touch or on the next one. Only those of Friday still can."""
    row = forecast(built(workspace, *STEADY), "sequence")
    rate = row["rate"]
    assert rate == pytest.approx(0.5, abs=0.01)
    assert row["in_flight"] == 20 * 5 + 10
    assert row["expected"] == pytest.approx(30 * rate * 0.5 / (1 - rate * 0.5), abs=1e-6)
    assert (row["first_day"], row["last_day"]) == (march(28).date(), march(34).date())
    assert forecast(workspace, "workspace")["expected"] == row["expected"]


def test_a_range_needs_twelve_past_forecasts(workspace: Workspace) -> None:
    row = forecast(built(workspace, *STEADY, *contacts(6, *[5] * 12, sequence="late")), "workspace")
    assert (row["past_forecasts"], row["expected_low"]) == (1, None)
    assert row["reason"] == "no range yet: it needs 12 past forecasts and has 1"


def test_without_contacts_in_flight_nothing_is_to_come(workspace: Workspace) -> None:
    built(workspace, *STEADY, last=march(40).date())
    row = forecast(workspace, "workspace", 30)
    assert (row["in_flight"], row["expected"], row["reason"]) == (0, 0.0, "no contact in flight")
    assert {row["scope"] for row in workspace.rows("sequence_forecast")} == {"workspace"}


def test_without_enough_outcomes_there_is_no_forecast(workspace: Workspace) -> None:
    row = forecast(built(workspace, *STEADY, *contacts(27, None)), "workspace", outcome="meeting")
    assert (row["expected"], row["reason"]) == (None, "needs 60 meetings to know how fast they come; 0 so far")
