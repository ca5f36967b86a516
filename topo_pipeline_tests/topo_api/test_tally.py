"""Counting distinct rows, readable or not."""

from dataclasses import replace
from datetime import datetime, timedelta

from topo_pipeline.topo_api.tally import Rows, Tally
from topo_pipeline.topo_api.wire import Activity, ActivityPage, ActivityQuery, Reject
from topo_pipeline_tests.topo_api.helpers import NOW, uuid_of

HOUR = timedelta(hours=1)


def page_of(*rows: Activity | Reject, count: int = 0) -> ActivityPage:
    activities = [row for row in rows if isinstance(row, Activity)]
    return ActivityPage(activities, [row for row in rows if isinstance(row, Reject)], count, 1, False)


def rows_of(*rows: Activity | Reject) -> Rows:
    found = Rows()
    found.add(page_of(*rows))
    return found


def activity(number: int, payload: str = "{}", at: datetime = NOW) -> Activity:
    return Activity(uuid_of(number), at, payload)


def test_rows_with_the_same_id_count_once() -> None:
    assert len(rows_of(activity(1), activity(1), Reject("x", "odd", uuid_of(1)), Reject("y", "odd", uuid_of(2)))) == 2


def test_equal_rows_without_an_id_count_once_per_page() -> None:
    rows = rows_of(Reject("null", "odd"), Reject("null", "odd"))
    rows.add(page_of(Reject("null", "odd"), Reject("[]", "odd")))
    assert len(rows) == len(rows.rejects()) == 3


def test_a_row_without_an_id_in_two_overlapping_queries_counts_once() -> None:
    rows = rows_of(Reject("null", "odd"), Reject("null", "odd"), activity(1))
    rows.merge(rows_of(Reject("null", "odd"), Reject("[]", "odd"), activity(1, '{"v": 2}')))
    assert len(rows) == 4
    assert rows.activities[uuid_of(1)].payload == '{"v": 2}'


def test_activities_that_were_taken_count_once_however_often_they_are_received() -> None:
    rows = rows_of(activity(1), activity(2), activity(3, at=NOW + HOUR))
    assert rows.take(NOW - HOUR, NOW + HOUR) == [activity(1), activity(2)]
    assert rows.activities.keys() == {uuid_of(3)}
    unreadable = Reject("x", "odd", uuid_of(1)), Reject("y", "odd", uuid_of(3)), Reject("z", "odd", uuid_of(4))
    rows.merge(rows_of(activity(2), activity(3, at=NOW + HOUR), *unreadable))
    other_part = rows_of(activity(2), activity(5))
    other_part.take(NOW - HOUR, NOW + HOUR)
    rows.merge(other_part)
    assert len(rows) == 5
    assert rows.activities.keys() == {uuid_of(3)}
    assert [rows.has_activity(uuid_of(number)) for number in range(1, 6)] == [True, True, True, False, True]


def test_rows_are_compared_without_their_version() -> None:
    one = rows_of(activity(1), Reject("x", "odd", uuid_of(2)), Reject("null", "odd"))
    assert one.are(rows_of(activity(1, '{"v": 2}'), Reject("y", "odd", uuid_of(2)), Reject("null", "odd")))
    assert not one.are(rows_of(activity(1), Reject("x", "odd", uuid_of(2))))
    assert not one.are(rows_of(activity(3), Reject("x", "odd", uuid_of(2)), Reject("null", "odd")))
    assert not one.are(rows_of(activity(1), Reject("x", "odd", uuid_of(3)), Reject("null", "odd")))


def test_a_proof_requires_the_same_count_on_every_page() -> None:
    tally = Tally.of(ActivityQuery(), page_of(activity(1), count=2))
    assert not tally.proved
    tally.add(page_of(activity(2), count=2))
    assert tally.proved
    tally.add(page_of(activity(2), count=3))
    assert not tally.proved


def test_unreadable_rows_of_all_pages_and_parts_are_kept() -> None:
    rows = rows_of(Reject("x", "odd", uuid_of(1)))
    rows.add(page_of(Reject("y", "odd", uuid_of(2))))
    rows.merge(rows_of(Reject("z", "odd", uuid_of(3))))
    assert [reject.raw for reject in rows.rejects()] == ["x", "y", "z"]


def test_a_count_that_changes_and_returns_proves_nothing() -> None:
    tally = Tally.of(ActivityQuery(), page_of(activity(1), count=3))
    tally.add(page_of(activity(2), count=4))
    tally.add(page_of(activity(3), count=3))
    assert len(tally.rows) == tally.count
    assert not tally.proved


def test_the_request_ids_of_all_pages_are_kept() -> None:
    tally = Tally.of(ActivityQuery(), replace(page_of(activity(1), count=3), request_id="req_1"))
    tally.add(page_of(activity(2), count=3))  # a page may come without one
    tally.add(replace(page_of(activity(3), count=3), request_id="req_3"))
    assert tally.request_ids == ["req_1", "req_3"]
