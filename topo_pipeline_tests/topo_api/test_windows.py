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
    Model,
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


def world(count: int, step: timedelta = MINUTE) -> list[dict[str, Any]]:
    """Its times are not whole seconds, so that they are not taken for rounded ones."""
    return [item_of(number, at) for number, at in enumerate(instants(count, START, step + timedelta(milliseconds=1)))]


def ids_of(reading: Reading) -> list[str]:
    return [activity.id for activity in reading.activities]


@pytest.mark.parametrize("count", [2, 50, 99, 101, 199, 201, 350, 730, 4950])
def test_every_activity_of_a_day_is_read_with_no_page_too_many(count: int) -> None:
    app = Model(world(count, QUARTER_MINUTE))
    reading = read(app)
    assert ids_of(reading) == [uuid_of(number) for number in range(count)]
    assert reading.total_count == count
    pages = -(-count // 100)
    assert reading.requests == pages
    assert sorted(int(request.params["page"]) for request in app.requests) == list(range(1, pages + 1))


def test_a_run_costs_two_requests_beside_its_pages_also_where_its_first_day_is_empty() -> None:
    evidence = Evidence()
    days = [Window(START + timedelta(days=n), START + timedelta(days=n + 1)) for n in range(3)]
    later = Model([item_of(1, "2026-03-02T10:00:00.5Z")])
    assert [read(later, day, evidence=evidence).requests for day in days] == [3, 1, 1]
    assert [read(Model(world(151)), day, evidence=Evidence()).requests for day in days[:1]] == [4]


@pytest.mark.parametrize("count", [100, 128, 200, 250, 1500])
def test_a_count_that_may_be_a_cap_costs_two_small_requests(count: int) -> None:
    app = Model(world(count, QUARTER_MINUTE))
    assert read(app).requests == -(-count // 100) + 2
    assert [request.params["size"] for request in app.requests[-2:]] == ["1", "1"]


def test_the_bounds_asked_are_strict_and_beyond_both_ends_by_three_seconds() -> None:
    app = Model(world(151))
    reading = read(app)
    assert {request.params["created_at_after"] for request in app.requests} == {"2026-02-28T23:59:57Z"}
    assert {request.params["created_at_before"] for request in app.requests} == {"2026-03-02T00:00:03Z"}
    assert {request.params["sort_order"] for request in app.requests} == {"asc"}
    assert (reading.asked_after, reading.asked_before) == (START - timedelta(seconds=3), DAY.end + timedelta(seconds=3))


def test_ties_at_the_edges_fall_to_the_window_they_belong_to() -> None:
    at = [
        "2026-02-28T23:59:59Z",
        "2026-02-28T23:59:59.999999999Z",
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:00:00Z",
    ]
    at += ["2026-03-01T23:59:59.999999Z", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z"]
    reading = read(Model([item_of(number, text) for number, text in enumerate(at)]))
    assert ids_of(reading) == [uuid_of(2), uuid_of(3), uuid_of(4)]
    assert reading.total_count == len(at)  # those in the margins are in the count


def test_neighbouring_windows_share_out_the_world_exactly() -> None:
    items = world(300, timedelta(minutes=10))
    whole = read(Model(items), Window(START, START + timedelta(days=3)))
    days = [Window(START + timedelta(days=n), START + timedelta(days=n + 1)) for n in range(3)]
    assert [id_ for day in days for id_ in ids_of(read(Model(items), day))] == ids_of(whole)


def test_an_empty_window_asks_once_and_holds_nothing() -> None:
    reading = read(Model([item_of(1, "2026-02-28T23:59:59.5Z"), item_of(2)]), Window(START, START))
    assert (reading.activities, reading.total_count, reading.requests) == ([], 1, 1)


def test_both_spellings_of_a_payload_pass_through_untouched() -> None:
    reading = read(Model([item_of(1, personId="p", stepNumber=2), item_of(2, person_id="p", step_number=2)]))
    assert [activity.payload for activity in reading.activities] == [
        '{"type": "message.sent", "personId": "p", "stepNumber": 2}',
        '{"type": "message.sent", "person_id": "p", "step_number": 2}',
    ]


def test_retries_are_counted_as_requests_of_the_window() -> None:
    page = page_of([item_of(1, "2026-03-01T10:00:00.5Z")])
    assert read(Scripted(Answer(b"", 503), Answer(b"", 503), Answer(page))).requests == 3


def test_a_row_that_is_counted_and_never_comes_is_missed() -> None:
    def lose(_: int, page: dict[str, Any]) -> None:
        page["items"] = [item for item in page["items"] if item["id"] != uuid_of(7)]

    error = refused(Model(world(250), lose))
    assert (error.window, error.expected, error.got) == (DAY, 250, 249)
    assert str(error).startswith(
        "Window 2026-03-01T00:00:00Z to 2026-03-02T00:00:00Z: Topo counts 250 activities "
        "and sent 249 distinct rows (1 missing). The part 2026-02-28T23:59:57Z to 2026-03-01T01:29:58Z "
        "is not proved complete: 90 counted, 89 received (request ids req_1)"
    )
    assert error.request_ids == ("req_1",)


def test_what_was_received_of_a_refused_window_is_there_for_whoever_takes_it_unproved() -> None:
    def lose(_: int, page: dict[str, Any]) -> None:
        page["items"] = [item for item in page["items"] if item["id"] != uuid_of(7)]

    app = Model([item_of(999, "2026-02-28T23:59:59.5Z"), *world(250)], lose)
    error = refused(app)
    assert ids_of(error.reading) == [uuid_of(number) for number in range(250) if number != 7]
    assert (error.reading.window, error.reading.total_count) == (DAY, 251)
    assert error.reading.asked_after == START - timedelta(seconds=3)
    assert error.reading.requests == len(app.requests)


def test_more_rows_than_counted_are_refused() -> None:
    error = refused(Scripted(Answer(page_of([item_of(1), item_of(2)], 1))))
    assert "sent 2 distinct rows (1 too many). The window is not proved complete" in str(error)


def test_what_fits_a_page_is_asked_for_twice_at_most() -> None:
    app = Scripted(Answer(page_of([item_of(1)], 2)))
    refused(app)
    assert len(app.requests) == 2


def test_an_absurd_count_ends_with_the_first_empty_page() -> None:
    app = Model(world(5), lambda _, page: page.update(total_count=10**15))
    error = refused(app)
    assert len(error.reading.activities) == 5
    assert len(app.requests) <= 10


def test_a_refusal_in_the_midst_is_raised_as_itself() -> None:
    class Moody(Model):
        async def answer(self, request: Any) -> Answer:
            if request.params["page"] == "1":
                return await super().answer(request)
            return Answer(problem_of(400, "ValidationIssue", "too deep"), 400)

    app = Moody(world(1000))
    with pytest.raises(RequestRefused, match="too deep") as caught:
        read(app)
    assert caught.value.__context__ is None
    assert len(app.requests) < 10


def test_rejects_are_part_of_the_proof_and_of_the_reading() -> None:
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
    assert error.got == 6
    assert error.reading.rejects == reading.rejects


def test_of_an_id_received_twice_the_last_version_is_kept() -> None:
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
def test_a_world_at_rest_is_read_exactly(seconds: list[int], length: int) -> None:
    window = Window(START, START + timedelta(seconds=length))
    items = [item_of(n, (START + timedelta(seconds=s)).isoformat()) for n, s in enumerate(seconds)]
    expected = {uuid_of(n) for n, s in enumerate(seconds) if 0 <= s < length}
    reading = read(Model(items), window)
    assert set(ids_of(reading)) == expected
    assert len(reading.activities) == len(expected)


def test_a_window_keeps_its_instants_in_utc() -> None:
    havana = ZoneInfo("America/Havana")  # where clocks change at midnight
    window = Window(datetime(2026, 11, 1, tzinfo=havana), datetime(2026, 11, 2, tzinfo=havana))
    assert window.end - window.start == timedelta(hours=25)
    assert window.start == datetime(2026, 11, 1, 4, tzinfo=UTC)


def test_a_window_must_have_zones_and_a_direction() -> None:
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
def test_a_day_that_is_not_over_is_readable_up_to_two_minutes_ago(now: datetime, end: datetime) -> None:
    assert DAY.readable(now) == Window(START, end)


def test_a_window_has_both_bounds_in_utc() -> None:
    havana = ZoneInfo("America/Havana")
    window = Window(datetime(2026, 11, 1, tzinfo=havana), datetime(2026, 11, 2, tzinfo=havana))
    assert [bound.isoformat() for bound in (window.start, window.end)] == [
        "2026-11-01T04:00:00+00:00",
        "2026-11-02T05:00:00+00:00",
    ]


def test_a_full_page_that_lacks_a_row_is_asked_for_twice_at_most() -> None:
    app = Scripted(Answer(page_of([item_of(number) for number in range(99)], 100)))
    assert (refused(app).got, len(app.requests)) == (99, 2)


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
def test_too_many_rows_are_unreadable_beyond_five_and_one_in_a_hundred_or_from_half_on(
    unreadable: int, rows: int, too_many: bool
) -> None:
    assert too_many_unreadable(unreadable, rows) == too_many


def test_unreadable_rows_of_the_overlap_are_counted_and_are_not_of_the_window() -> None:
    def spoil(_: int, page: dict[str, Any]) -> None:
        page["items"] = [item | {"payload": None} if item["id"] != uuid_of(3) else item for item in page["items"]]

    reading = read(Model([item_of(n, at) for n, at in enumerate(["2026-02-28T23:59:59.5Z", START.isoformat()])], spoil))
    assert [reject.id for reject in reading.unreadable] == [uuid_of(0), uuid_of(1)]
    assert [reject.id for reject in reading.rejects] == [uuid_of(1)]
