"""A window of n times 24 hours that ends exactly at as_of has closed, and one that ends a microsecond later has not."""

import shutil
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from topo_pipeline.engagement.rules import Rules
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, by_day, canonical, enrolled, replied, sent
from topo_pipeline_tests.engagement.oracle import World, days, tables

RULES = Rules(
    reply_window_days=2, message_reply_window_days=2, open_window_days=1, acceptance_window_days=3, quantile_repliers=1
)
COMPARED = ("sequence_channels", "sequence_steps", "sequence_cohorts", "sequence_summary", "sequence_timing")


@pytest.mark.parametrize(
    ("zone", "last"),
    [
        ("Asia/Beirut", date(2026, 3, 29)),  # from midnight to 1:00
        ("Asia/Beirut", date(2026, 10, 24)),  # from midnight back to 23:00
        *(
            pytest.param(zone, last, marks=pytest.mark.full)
            for zone, last in [
                ("UTC", date(2026, 3, 29)),
                ("Europe/Paris", date(2026, 3, 20)),  # without a change of the clock
                ("Europe/Paris", date(2026, 10, 26)),
                ("Europe/Paris", date(2026, 3, 29)),
                ("Asia/Beirut", date(2026, 10, 25)),
                ("Australia/Lord_Howe", date(2026, 4, 5)),  # by half an hour
                ("Australia/Lord_Howe", date(2026, 10, 4)),
            ]
        ),
    ],
)
def test_a_window_that_ends_at_as_of_has_closed(tmp_path: Path, empty_file: Path, zone: str, last: date) -> None:
    as_of = datetime.combine(last + timedelta(days=1), time(0), ZoneInfo(zone)).astimezone(UTC)
    happened = []
    for hours, (name, late) in enumerate([("on time", timedelta(0)), ("late", timedelta(microseconds=1))], start=1):
        message, invitation = as_of - timedelta(hours=48) + late, as_of - timedelta(hours=72) + late
        happened += [
            enrolled(message, f"mail {name}"),
            sent(message, f"mail {name}", step=1),
            enrolled(invitation, f"invitation {name}"),
            Activity("invitation.sent", invitation, f"invitation {name}", step=2),
            enrolled(message, f"answered {name}", sequence="answered"),
            sent(message, f"answered {name}", sequence="answered"),
            replied(message + timedelta(hours=hours), f"answered {name}", sequence="answered"),
        ]
    there = by_day(happened, zone)
    landed = {day: there.get(day, []) for day in days(min(there), last)}
    workspace = Workspace(str(shutil.copy(empty_file, tmp_path / "built.duckdb")), zone, RULES)
    workspace.land_all(happened, *landed)
    workspace.build()
    expected = tables(World(landed, zone=zone, rules=RULES))
    for table in COMPARED:
        assert canonical(workspace.rows(table)) == canonical(expected[table]), table
    mail = workspace.channel("EMAIL")
    assert (mail["sends"], mail["eligible_for_open"]) == (2, 2)
    assert (mail["eligible_for_reply"], mail["contact_reply_rate_den"]) == (1, 1)
    assert workspace.channel("LINKEDIN")["invitation_acceptance_rate_den"] == 1
    step = workspace.steps()[1, None, "EMAIL"]
    assert (step["runs_reached"], step["step_reply_rate_den"], step["advance_rate_den"]) == (2, 1, 1)
    assert workspace.summary("answered")["median_hours_to_reply"] == pytest.approx(1)
