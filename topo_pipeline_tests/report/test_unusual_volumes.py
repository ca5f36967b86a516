"""The report's finding of unusual volumes: weeks and days, of sequences and of the whole workspace."""

from collections.abc import Iterator
from datetime import date

import pytest

from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.findings import Finding, findings
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, march, sent, uid
from topo_pipeline_tests.engagement.oracle import days

LABELS = {uid(name): name.title() for name in ("steady", "halved", "stopped")}


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


def unusual(workspace: Workspace, *holidays: int) -> Finding:
    workspace.land_all(happened(holidays), *days(date(2026, 3, 2), date(2026, 5, 10)))
    workspace.build()
    with workspace.warehouse.reader() as connection:
        [finding] = [each for each in findings(connection, DEFAULT_RULES, LABELS) if each.title == "Unusual volumes"]
    return finding


def test_a_week_and_silent_days_are_named_with_what_is_usual(workspace: Workspace) -> None:
    assert unusual(workspace).found == [
        ("Halved", "Sent 10 messages in the week of 4 May; usually 70 a week"),
        ("Stopped", "Sent nothing on Tue 5 May and Fri 8 May"),
    ]


@pytest.mark.parametrize(
    ("holidays", "remark"),
    [
        ((67,), "Sent nothing on Wed 6 May; usually 115 on that weekday"),
        (
            (65, 66, 67, 68, 69),
            "Sent 0 messages in the week of 4 May; usually 575 a week."
            " Sent nothing on Mon 4 May, Tue 5 May, Wed 6 May, Thu 7 May and Fri 8 May",
        ),
    ],
)
def test_holidays_are_one_finding_of_the_whole_workspace(
    workspace: Workspace, holidays: tuple[int, ...], remark: str
) -> None:
    found = dict(unusual(workspace, *holidays).found)
    assert found.pop("All sequences") == remark
    assert found.keys() <= {"Stopped"}
