"""Which days to read again because their replies changed."""

from datetime import UTC, date, datetime, timedelta

import pytest

from topo_pipeline.days import Day, Window
from topo_pipeline.ingest.changed_replies import differing
from topo_pipeline.warehouse.replies import Version


def a_day(number: int) -> Day:
    start = datetime(2026, 3, number, tzinfo=UTC)
    return Day(start.date(), Window(start, start + timedelta(days=1)))


def reply(number: int, day: int, payload: str = "{}") -> Version:
    return f"reply {number}", datetime(2026, 3, day, 10, tzinfo=UTC), payload


@pytest.mark.parametrize(
    ("landed", "shown", "expected"),
    [
        ({1: {reply(1, 1)}, 2: set()}, [reply(1, 1)], []),
        ({1: {reply(1, 1)}, 2: set()}, [reply(1, 1, '{"category":1}')], [1]),
        ({1: set(), 2: set()}, [reply(1, 2)], [2]),
        ({1: {reply(1, 1)}, 2: {reply(2, 2)}}, [reply(2, 2)], [1]),
        ({1: {reply(1, 1)}, 2: set()}, [("reply 1", datetime(2026, 3, 2, 10, tzinfo=UTC), "{}")], [1, 2]),
        ({2: set()}, [reply(1, 1), reply(2, 3)], []),
        ({}, [reply(1, 1)], []),
    ],
    ids=["unchanged", "new category", "late", "removed", "moved", "days that never landed", "nothing landed"],
)
def test_a_landed_day_is_read_again_if_its_replies_differ_from_topos(
    landed: dict[int, set[Version]], shown: list[Version], expected: list[int]
) -> None:
    by_day = {date(2026, 3, day): versions for day, versions in landed.items()}
    found = differing([a_day(1), a_day(2), a_day(3)], by_day, shown)
    assert [day.day.day for day in found] == expected


def test_a_reply_at_midnight_belongs_to_the_new_day() -> None:
    midnight = ("reply", datetime(2026, 3, 2, tzinfo=UTC), "{}")
    nothing: dict[date, set[Version]] = {date(2026, 3, 1): set(), date(2026, 3, 2): set()}
    assert [day.day.day for day in differing([a_day(1), a_day(2)], nothing, [midnight])] == [2]
