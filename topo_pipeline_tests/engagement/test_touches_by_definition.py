"""Runs, their actions and responses, and the tables by channel and step equal the oracle in random workspaces."""

from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline.engagement.tables import tables
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, by_day, canonical, march
from topo_pipeline_tests.engagement.oracle import Row, World
from topo_pipeline_tests.engagement.oracle import tables as definitions

LAST_DAY = date(2026, 3, 8)
TYPES = (
    *("message.sent", "message.replied", "message.opened", "message.link_clicked") * 3,
    *("invitation.sent", "invitation.accepted", "task.created", "task.completed", "task.skipped") * 2,
    *("sequence_step.completed", "sequence_step.skipped", "sequence.created", "sequence.created"),
    *("sequence.completed", "sequence.stopped", "meeting.created"),
)
COMPARED = ("sequence_runs", "sequence_actions", "sequence_responses", "sequence_channels", "sequence_steps")
RATES = {
    "sequence_channels": (
        "email_open_rate", "email_open_rate_adjusted", "email_click_rate", "reply_rate", "invitation_acceptance_rate",
        "invitation_to_reply_rate", "task_completion_rate", "task_skip_rate",
    ),
    "sequence_steps": ("step_reply_rate", "share_of_replies", "step_skip_rate", "advance_rate"),
}  # fmt: skip


def busy(chance: Random) -> list[Activity]:
    """Return some runs in six days. Times coincide to the second of an instant open and to the end of a window."""
    activities = [_random_activity(chance) for _ in range(120)]
    return list({activity.id: activity for activity in activities}.values())


def _random_activity(chance: Random) -> Activity:
    type_ = chance.choice(TYPES)
    own_channel = None if type_.startswith("invitation.") else "EMAIL"
    return Activity(
        type_,
        march(1) + timedelta(hours=12 * chance.randrange(11), seconds=chance.choice((0, 0, 10, 11))),
        run=chance.choice("ABCD"),
        sequence=chance.choice(("outbound", "outbound", "outbound", "outbound", "nurture", None)),
        channel=chance.choice((*[own_channel] * 4, None, "LINKEDIN", "LINKEDIN", "MANUAL", "CARRIER_PIGEON")),
        category=chance.choice((None, "INTERESTED", "UNSUBSCRIBED", "BOUNCED")),
        message=chance.choice((None, None, "first", "second")),
        step=chance.choice((None, 1, 2)),
        task=chance.choice((None, "call", "call", "visit")),
    )


@pytest.mark.parametrize("worlds", [3, pytest.param(12, marks=pytest.mark.full)])
def test_random_workspaces_equal_the_oracle(tmp_path: Path, empty_file: Path, worlds: int) -> None:
    seen: set[tuple[str, str]] = set()
    for seed in range(worlds):
        chance = Random(seed)  # noqa: S311 - reproducible
        activities, days, open_day = busy(chance), chance.choice((0, 2, 3, 4)), chance.choice((None, None, LAST_DAY))
        file = tmp_path / f"{seed}.duckdb"
        file.write_bytes(empty_file.read_bytes())
        workspace = Workspace(str(file), rules=rules_of(days))
        workspace.land_all(activities, LAST_DAY, still_open=open_day)
        workspace.build("sequence_runs", "sequence_channels", "sequence_steps")
        expected = defined(activities, days, open_day)
        for table in COMPARED:
            rows = workspace.rows(table)
            assert canonical(rows) == canonical(expected[table]), (seed, table)
            seen.update((table, name) for row in rows for name, value in row.items() if value)
    # The workspaces have a value in every column, so that the comparison means something.
    assert seen >= {(table, f"{rate}_num") for table, rates in RATES.items() for rate in rates}
    columns = tables()["sequence_runs"].comments()["sequence_actions"]
    assert seen >= {("sequence_actions", column) for column in columns if column}


def rules_of(days: int) -> Rules:
    """Return rules whose windows are short enough to close."""
    return Rules(
        reply_window_days=days,
        message_reply_window_days=days,
        open_window_days=days,
        acceptance_window_days=days,
        tracking_off_sends=4,
        censored_days=1,
    )


def defined(activities: list[Activity], days: int, open_day: date | None) -> dict[str, list[Row]]:
    landed = dict.fromkeys((LAST_DAY,), list[Activity]()) | by_day(activities)
    return definitions(World(landed, frozenset({open_day} - {None}), rules=rules_of(days)))
