"""The report's finding of unusual volumes: weeks and days, of sequences and of the whole workspace."""

from collections.abc import Iterator
from datetime import date

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.findings import KINDS, of_kind
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, march, named_in, sent, uid
from topo_pipeline_tests.engagement.oracle import days


def messages(day: int, sequence: str, count: int) -> Iterator[Activity]:
    for minute in range(count):
        yield sent(march(day, 9 + minute // 60, minute % 60), sequence, sequence=sequence)


def happened(holidays: tuple[int, ...] = ()) -> Iterator[Activity]:
    """Ten weeks from Monday 2 March to Sunday 10 May. "stopped" sends nothing on Tuesday 5 and Friday 8 May."""
    for day in range(2, 72):
        if (day - 2) % 7 < 5 and day not in holidays:
            yield from messages(day, "steady", 90)
            yield from messages(day, "halved", 2 if day >= 65 else 14)
            yield from messages(day, "stopped", 0 if day in (66, 69) else 11)


def unusual(workspace: Workspace, *holidays: int) -> dict[str | None, tuple[bool, date, int, int]]:
    """Return of each sequence whether a week is unusual, its day, and the messages sent and usual."""
    workspace.land_all(happened(holidays), *days(date(2026, 3, 2), date(2026, 5, 10)))
    workspace.build()
    with workspace.seeing(*named_in(KINDS["unusual_volume"][0])) as connection:
        found = of_kind(connection, "unusual_volume", DEFAULT_RULES)
    return {
        each.sequence_id: (*(each.facts[name] for name in ("is_week", "day", "sent")), round(each.facts["usual"]))
        for each in found
    }


def test_a_week_and_a_silent_day_are_found_with_what_is_usual(workspace: Workspace) -> None:
    assert unusual(workspace) == {
        uid("halved"): (True, date(2026, 5, 4), 10, 70),
        uid("stopped"): (False, date(2026, 5, 8), 0, 11),  # the newest of two
    }


@pytest.mark.parametrize(
    ("holidays", "found"),
    [
        ((67,), (False, date(2026, 5, 6), 0, 115)),
        ((65, 66, 67, 68, 69), (True, date(2026, 5, 4), 0, 575)),
    ],
)
def test_holidays_are_one_finding_of_the_whole_workspace(
    workspace: Workspace, holidays: tuple[int, ...], found: tuple[bool, date, int, int]
) -> None:
    everything = unusual(workspace, *holidays)
    assert everything.pop(None) == found
    assert everything.keys() <= {uid("stopped")}
