"""The tables whose grain is the message or the step equal their definitions in busy little workspaces."""

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Row, Workspace, by_day, canonical, march
from topo_pipeline_tests.engagement.oracle import Oracle
from topo_pipeline_tests.engagement.test_any_order import SAME_EVERY_TIME

LAST_DAY = date(2026, 3, 8)
MAY_HAPPEN = (
    *("message.sent", "message.replied", "message.opened", "message.link_clicked") * 3,
    *("invitation.sent", "invitation.accepted") * 2,
    *("task.created", "task.completed", "task.skipped") * 2,
    *("sequence_step.completed", "sequence_step.skipped"),
    *("sequence.created", "sequence.completed", "sequence.stopped", "meeting.created"),
)
CHANNELS = (None, "EMAIL", "EMAIL", "EMAIL", "LINKEDIN", "LINKEDIN", "MANUAL", "CARRIER_PIGEON")
RATES = ("reply", "email_open", "email_click", "invitation_acceptance", "task_skip", "step_reply", "advance")


def by_habit(type_: str) -> str:
    return "LINKEDIN" if type_.startswith("invitation.") else "EMAIL"


@st.composite
def busy_activities(draw: st.DrawFn) -> Activity:
    """Three runs in six days: times collide, to the second of an instant open and to the end of a window."""
    type_ = draw(st.sampled_from(MAY_HAPPEN))
    at = march(1) + timedelta(hours=12 * draw(st.integers(0, 10)), seconds=draw(st.sampled_from((0, 0, 10, 11))))
    return Activity(
        type_,
        at,
        run=draw(st.sampled_from("ABC")),
        sequence=draw(st.sampled_from(("outbound", "outbound", "outbound", "nurture", None))),
        channel=draw(st.sampled_from(CHANNELS if draw(st.booleans()) else (None, by_habit(type_)))),
        category=draw(st.sampled_from((None, "INTERESTED", "BOUNCED"))),
        message=draw(st.sampled_from((None, None, "first", "second"))),
        step=draw(st.sampled_from((None, 1, 2))),
        task=draw(st.sampled_from((None, "call", "call", "visit"))),
    )


def known_rules(days: int) -> Rules:
    """Windows so short that they close."""
    return Rules(
        reply_window_days=days,
        message_reply_window_days=days,
        open_window_days=days,
        acceptance_window_days=days,
        tracking_off_sends=4,
        censored_days=1,
    )


def defined(activities: Iterable[Activity], days: int, open_day: date | None) -> dict[str, list[Row]]:
    window = timedelta(days=days)
    landed = dict.fromkeys((LAST_DAY,), list[Activity]()) | by_day(activities)
    return Oracle(
        landed,
        frozenset({open_day} - {None}),
        window=window,
        censored_days=1,
        message_window=window,
        open_window=window,
        acceptance_window=window,
        tracking_off_sends=4,
    ).tables()


def test_busy_workspaces_equal_the_definitions(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> None:
    seen: set[str] = set()

    @settings(SAME_EVERY_TIME, max_examples=15)
    @given(
        activities=st.lists(busy_activities(), min_size=30, max_size=70, unique_by=lambda activity: activity.id),
        days=st.sampled_from((0, 1, 2, 3, 3)),
        open_day=st.sampled_from((None, None, LAST_DAY)),
    )
    def equal(activities: list[Activity], days: int, open_day: date | None) -> None:
        file = tmp_path_factory.mktemp("busy") / "topo.duckdb"
        file.write_bytes(empty_file.read_bytes())
        workspace = Workspace(str(file), rules=known_rules(days))
        workspace.land_all(activities, LAST_DAY, still_open=open_day)
        workspace.build("sequence_runs", "sequence_channels", "sequence_steps")
        expected = defined(activities, days, open_day)
        for table in ("sequence_channels", "sequence_steps"):
            rows = workspace.rows(table)
            assert canonical(rows) == canonical(expected[table]), table
            seen.update(name for row in rows for name, value in row.items() if value)

    equal()
    assert {f"{name}_rate_num" for name in RATES} <= seen
