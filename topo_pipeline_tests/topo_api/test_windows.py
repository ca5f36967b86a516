"""A window is read whole and proved, or refused."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.days import Window
from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api.errors import IncompleteWindow, RequestRefused
from topo_pipeline.topo_api.reading import Reading, too_many_unreadable
from topo_pipeline.topo_api.windows import Evidence, read_window
from topo_pipeline_tests.topo_api.helpers import (
    Answer,
    PagedApi,
    Scripted,
    client_of,
    instants,
    item_of,
    page_of,
    problem_of,
    uuid_of,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = Window(START, START + timedelta(days=1))
MINUTE = timedelta(minutes=1)
QUARTER_MINUTE = timedelta(seconds=15)


def read(app: Scripted, window: Window = DAY, evidence: Evidence | None = None) -> Reading:
    async def go(address: str) -> Reading:
        async with client_of(address) as client:
            return await read_window(client, window, evidence=evidence)

    with serve(app) as address:
        return asyncio.run(go(address))


def refused(app: Scripted) -> IncompleteWindow:
    with pytest.raises(IncompleteWindow) as caught:
        read(app)
    return caught.value


def day_items(count: int, step: timedelta = MINUTE) -> list[dict[str, Any]]:
    """Return items whose times are not whole seconds, so that they don't look rounded."""
    return [item_of(number, at) for number, at in enumerate(instants(count, START, step + timedelta(milliseconds=1)))]


def ids_of(reading: Reading) -> list[str]:
    return [activity.id for activity in reading.activities]


@pytest.mark.parametrize(
    "count",
    # smaller: test_repair.py, test_a_window_at_the_depth_limit_takes_no_extra_requests
    [2, 50, 99, 101, 199, 201, 350, 730, pytest.param(4950, marks=pytest.mark.full)],
)
def test_every_activity_of_a_day_is_read_without_extra_pages(count: int) -> None:
    app = PagedApi(day_items(count, QUARTER_MINUTE))
    reading = read(app)
    assert ids_of(reading) == [uuid_of(number) for number in range(count)]
    assert reading.total_count == count
    pages = -(-count // 100)
    assert reading.requests == pages
    assert sorted(int(request.params["page"]) for request in app.requests) == list(range(1, pages + 1))


def test_a_run_takes_two_requests_in_addition_to_its_pages() -> None:
    evidence = Evidence()
    days = [Window(START + timedelta(days=n), START + timedelta(days=n + 1)) for n in range(3)]
    later = PagedApi([item_of(1, "2026-03-02T10:00:00.5Z")])
    assert [read(later, day, evidence=evidence).requests for day in days] == [3, 1, 1]
    assert [read(PagedApi(day_items(151)), day, evidence=Evidence()).requests for day in days[:1]] == [4]


@pytest.mark.parametrize("count", [100, 128, 200, 250, 1500])
def test_a_count_that_may_be_a_cap_takes_two_more_small_requests(count: int) -> None:
    app = PagedApi(day_items(count, QUARTER_MINUTE))
    assert read(app).requests == -(-count // 100) + 2
    assert [request.params["size"] for request in app.requests[-2:]] == ["1", "1"]


def test_a_row_that_cannot_be_read_does_not_make_a_count_a_cap() -> None:
    items = [*day_items(199, QUARTER_MINUTE), item_of(999) | {"id": "no id"}]
    reading = read(PagedApi(items))
    assert (len(reading.activities), len(reading.rejects)) == (199, 1)
    assert (reading.count_capped, reading.requests) == (False, 4)


def test_the_requested_bounds_are_three_seconds_wider_at_both_ends() -> None:
    app = PagedApi(day_items(151))
    reading = read(app)
    assert {request.params["created_at_after"] for request in app.requests} == {"2026-02-28T23:59:57Z"}
    assert {request.params["created_at_before"] for request in app.requests} == {"2026-03-02T00:00:03Z"}
    assert {request.params["sort_order"] for request in app.requests} == {"asc"}
    assert (reading.asked_after, reading.asked_before) == (START - timedelta(seconds=3), DAY.end + timedelta(seconds=3))


def test_rows_at_the_bounds_belong_to_the_right_window() -> None:
    at = [
        "2026-02-28T23:59:59Z",
        "2026-02-28T23:59:59.999999999Z",
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:00:00Z",
    ]
    at += ["2026-03-01T23:59:59.999999Z", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z"]
    reading = read(PagedApi([item_of(number, text) for number, text in enumerate(at)]))
    assert ids_of(reading) == [uuid_of(2), uuid_of(3), uuid_of(4)]
    assert reading.total_count == len(at)  # those in the margins are in the count


def test_adjacent_windows_cover_each_activity_once() -> None:
    items = day_items(300, timedelta(minutes=10))
    whole = read(PagedApi(items), Window(START, START + timedelta(days=3)))
    days = [Window(START + timedelta(days=n), START + timedelta(days=n + 1)) for n in range(3)]
    assert [id_ for day in days for id_ in ids_of(read(PagedApi(items), day))] == ids_of(whole)


def test_an_empty_window_takes_one_request() -> None:
    reading = read(PagedApi([item_of(1, "2026-02-28T23:59:59.5Z"), item_of(2)]), Window(START, START))
    assert (reading.activities, reading.total_count, reading.requests) == ([], 1, 1)


def test_payloads_in_both_spellings_are_kept_unchanged() -> None:
    reading = read(PagedApi([item_of(1, personId="p", stepNumber=2), item_of(2, person_id="p", step_number=2)]))
    assert [activity.payload for activity in reading.activities] == [
        '{"type": "message.sent", "personId": "p", "stepNumber": 2}',
        '{"type": "message.sent", "person_id": "p", "step_number": 2}',
    ]


def test_retries_count_as_requests_of_the_window() -> None:
    page = page_of([item_of(1, "2026-03-01T10:00:00.5Z")])
    assert read(Scripted(Answer(b"", 503), Answer(b"", 503), Answer(page))).requests == 3


def drop_row_7(_: int, page: dict[str, Any]) -> None:
    page["items"] = [item for item in page["items"] if item["id"] != uuid_of(7)]


def test_a_counted_row_that_is_never_sent_is_reported_missing() -> None:
    error = refused(PagedApi(day_items(250), drop_row_7))
    assert str(error).startswith(
        "Window 2026-03-01T00:00:00Z to 2026-03-02T00:00:00Z: Topo counts 250 activities "
        "and sent 249 distinct rows (1 missing). The part 2026-02-28T23:59:57Z to 2026-03-01T01:29:58Z "
        "is not proved complete: 90 counted, 89 received (request ids req_1)"
    )


def test_a_refused_window_keeps_the_received_rows() -> None:
    app = PagedApi([item_of(999, "2026-02-28T23:59:59.5Z"), *day_items(250)], drop_row_7)
    error = refused(app)
    assert ids_of(error.reading) == [uuid_of(number) for number in range(250) if number != 7]
    assert (error.reading.window, error.reading.total_count) == (DAY, 251)
    assert error.reading.asked_after == START - timedelta(seconds=3)
    assert error.reading.requests == len(app.requests)


def test_more_rows_than_counted_are_refused() -> None:
    error = refused(Scripted(Answer(page_of([item_of(1), item_of(2)], 1))))
    assert "sent 2 distinct rows (1 too many). The window is not proved complete" in str(error)


@pytest.mark.parametrize("received", [1, 99])
def test_a_page_that_lacks_a_row_is_requested_at_most_twice(received: int) -> None:
    app = Scripted(Answer(page_of([item_of(number) for number in range(received)], received + 1)))
    assert f"sent {received} distinct" in str(refused(app))
    assert len(app.requests) == 2


def test_a_huge_count_ends_with_the_first_empty_page() -> None:
    app = PagedApi(day_items(5), lambda _, page: page.update(total_count=10**15))
    error = refused(app)
    assert len(error.reading.activities) == 5
    assert len(app.requests) <= 10


def test_a_refused_later_page_raises_its_error() -> None:
    class RefusingLaterPages(PagedApi):
        async def answer(self, request: Any) -> Answer:
            if request.params["page"] == "1":
                return await super().answer(request)
            return Answer(problem_of(400, "ValidationIssue", "too deep"), 400)

    app = RefusingLaterPages(day_items(1000))
    with pytest.raises(RequestRefused, match="too deep") as caught:
        read(app)
    assert caught.value.__context__ is None
    assert len(app.requests) < 10


def test_unreadable_rows_are_part_of_the_proof_and_of_the_reading() -> None:
    items = [
        item_of(1),
        item_of(2) | {"payload": None},
        item_of(3, "2026-02-28T23:59:59.5Z") | {"payload": None},
        item_of(4) | {"created_at": "soon"},
        None,
        None,
    ]
    reading = read(Scripted(Answer(page_of(items))))
    assert ids_of(reading) == [uuid_of(1)]
    assert [reject.id for reject in reading.rejects] == [uuid_of(2), uuid_of(4), None, None]
    error = refused(Scripted(Answer(page_of(items, 5))))
    assert "sent 6 distinct rows" in str(error)
    assert error.reading.rejects == reading.rejects


def test_the_last_version_of_a_repeated_id_is_kept() -> None:
    items = [
        item_of(1, version=1),
        item_of(1, version=2),
        {"id": uuid_of(2), "v": 1},
        {"id": uuid_of(2), "v": 2},
    ]
    reading = read(Scripted(Answer(page_of(items, 2))))
    assert [activity.payload[-2] for activity in reading.activities] == ["2"]
    assert [reject.raw[-2] for reject in reading.rejects] == ["2"]


@settings(max_examples=20)
@given(st.lists(st.integers(-3, 86_403), max_size=250), st.integers(0, 86_400))
def test_any_unchanging_window_is_read_exactly(seconds: list[int], length: int) -> None:
    window = Window(START, START + timedelta(seconds=length))
    items = [item_of(n, (START + timedelta(seconds=s)).isoformat()) for n, s in enumerate(seconds)]
    expected = {uuid_of(n) for n, s in enumerate(seconds) if 0 <= s < length}
    reading = read(PagedApi(items), window)
    assert set(ids_of(reading)) == expected
    assert len(reading.activities) == len(expected)


def test_a_window_needs_time_zones_and_ends_after_it_starts() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Window(datetime(2026, 3, 1), DAY.end)  # noqa: DTZ001
    with pytest.raises(ValueError, match="before it starts"):
        Window(DAY.end, DAY.start)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (DAY.end + timedelta(hours=1), DAY.end),
        (DAY.end, DAY.end - timedelta(minutes=2)),
        (START + timedelta(hours=6), START + timedelta(hours=5, minutes=58)),
        (START + MINUTE, START),
        (START - timedelta(days=1), START),
    ],
)
def test_an_unfinished_day_is_readable_up_to_two_minutes_ago(now: datetime, end: datetime) -> None:
    assert DAY.readable(now) == Window(START, end)


def test_a_window_converts_its_bounds_to_utc() -> None:
    havana = ZoneInfo("America/Havana")  # clocks change at midnight: a day of 25 hours
    window = Window(datetime(2026, 11, 1, tzinfo=havana), datetime(2026, 11, 2, tzinfo=havana))
    assert [bound.isoformat() for bound in (window.start, window.end)] == [
        "2026-11-01T04:00:00+00:00",
        "2026-11-02T05:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("unreadable", "rows", "too_many"),
    [
        (0, 0, False),
        (0, 500, False),
        (1, 1, True),
        (1, 2, True),
        (1, 3, False),
        (5, 11, False),
        (5, 10, True),
        (6, 500, True),
        (6, 600, False),
        (7, 600, True),
        (100, 10_000, False),
        (101, 10_000, True),
    ],
)
def test_a_day_has_too_many_unreadable_rows(unreadable: int, rows: int, too_many: bool) -> None:
    assert too_many_unreadable(unreadable, rows) == too_many


def test_unreadable_rows_in_the_overlap_are_counted_but_not_in_the_window() -> None:
    def spoil(_: int, page: dict[str, Any]) -> None:
        page["items"] = [item | {"payload": None} if item["id"] != uuid_of(3) else item for item in page["items"]]

    reading = read(
        PagedApi([item_of(n, at) for n, at in enumerate(["2026-02-28T23:59:59.5Z", START.isoformat()])], spoil)
    )
    assert [reject.id for reject in reading.unreadable] == [uuid_of(0), uuid_of(1)]
    assert [reject.id for reject in reading.rejects] == [uuid_of(1)]
