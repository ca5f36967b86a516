"""Ways to write down a world and to land it."""

from collections.abc import Iterable, Mapping
from datetime import date

from topo_pipeline_tests.engagement.helpers import Activity, Workspace, by_day
from topo_pipeline_tests.engagement.oracle import World, days

# Columns that stay empty in the first months or with few contacts. test_volume_worlds.py and test_decision_worlds.py
# have worlds in which they don't.
NEED_MONTHS = {
    *(("sequence_volumes", name) for name in ("days_silent", "sent_usual", "phi", "threshold", "volume_signal")),
    *(
        (f"{scope}_daily", name)
        for scope in ("sequence", "workspace")
        for name in ("sent_expected", "is_volume_anomaly")
    ),
    *(("sequence_volumes", name) for name in ("weeks_before", "full_weeks")),
    ("sequence_signals", "halving_noticeable"),
    *(("sequence_forecast", name) for name in ("expected_low", "expected_high")),
}


def landed(
    activities: Iterable[Activity], first: date, last: date, *missing: date, zone: str = "UTC"
) -> dict[date, list[Activity]]:
    """Return the activities of every day between two, except the missing days."""
    happened = by_day(activities, zone)
    return {day: happened.get(day, []) for day in days(first, last) if day not in missing}


def name_sequences(workspace: Workspace, statuses: Mapping[str, str | None]) -> None:
    """Give each sequence its status, and a name."""
    for sequence, status in statuses.items():
        workspace.name(status, **{sequence: sequence.title()})


def land_world(workspace: Workspace, world: World) -> None:
    """Make an empty workspace hold a world, day by day."""
    workspace.zone, workspace.rules = world.zone, world.rules
    name_sequences(workspace, world.statuses)
    workspace.land_each(sorted(world.landed.items()), open_days=world.open_days, unproved_days=world.unproved_days)
