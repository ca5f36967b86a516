"""Windows that change between two requests are repaired or refused, with a limited number of requests."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import Any, cast

import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api import repair
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import IncompleteWindow, LimitExceeded, RequestRefused
from topo_pipeline.topo_api.reading import Reading
from topo_pipeline.topo_api.windows import MARGIN, read_window
from topo_pipeline.topo_api.wire import ActivityPage, ActivityQuery, EventType
from topo_pipeline_tests.topo_api.helpers import PagedApi, client_of, item_of, uuid_of
from topo_pipeline_tests.topo_api.in_memory_api import (
    DAY,
    HOUR,
    KNOWN,
    MOMENT,
    SECOND,
    START,
    UNKNOWN,
    InMemoryApi,
    ListStore,
    Row,
    excess,
    ids_in_order,
    ids_of,
    rows_at_one_time,
    selected_rows,
    spread_rows,
)

_SHAPES: dict[str, Callable[[int], list[Row]]] = {
    "uniform": spread_rows,
    "one hour": lambda count: spread_rows(count, HOUR, START + 5 * HOUR),
    "two bursts": lambda count: [
        *spread_rows(count // 2, HOUR / 4, START + 3 * HOUR),
        *(
            replace(row, number=count + row.number)
            for row in spread_rows(count - count // 2, HOUR / 4, START + 20 * HOUR)
        ),
    ],
}


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("count", [5051, *(pytest.param(n, marks=pytest.mark.full) for n in (5001, 10_000, 20_000))])
def test_reading_a_deep_window_in_parts_takes_at_most_5_percent_more_requests(shape: str, count: int) -> None:
    api = InMemoryApi(_SHAPES[shape](count))
    reading = api.read()
    assert ids_of(reading) == ids_in_order(api.rows)
    assert (reading.total_count, reading.requests) == (count, len(api.queries))
    assert max(query.page for query in api.queries) <= 50
    assert excess(api) <= Fraction(5, 100)


def test_a_store_takes_all_activities_of_a_deep_window_but_those_near_its_bounds() -> None:
    api, store = InMemoryApi(spread_rows(5051)), ListStore()
    reading = api.read(store=store)
    assert store.ids_with(reading) == ids_in_order(api.rows)
    assert ids_of(reading) == [api.rows[0].id]
    assert (reading.received, reading.total_count) == (5051, 5051)


def test_a_store_is_cleared_when_a_window_is_read_again() -> None:
    """The second reading is the one that adds up, and lacks a row that the first one has."""
    api, store = InMemoryApi(spread_rows(460)), ListStore()
    vanishes = api.rows[100]
    undisturbed = len(_requests_without_changes(460, depth=2))
    call_before(undisturbed - 1, lambda: api.rows.remove(vanishes) or api.rows.pop(440), api)
    reading = api.read(depth=2, store=store)
    assert store.ids_with(reading) == ids_in_order(api.rows)
    assert vanishes.id not in store.ids_with(reading)


def test_a_store_and_a_refused_reading_have_all_rows_that_were_received() -> None:
    rows, store = spread_rows(251), ListStore()
    api = InMemoryApi(rows, report_count=_WRONG_COUNTS["one more"])

    def hide_rows_from_other_queries(query: ActivityQuery) -> None:
        api.rows = rows if query.params().items() >= _WHOLE.items() else rows[::2]

    api.on_request = hide_rows_from_other_queries
    error = api.read_refused(store=store)
    assert "sent 251 distinct rows" in str(error)
    assert store.ids_with(error.reading) == ids_in_order(rows)


def test_a_window_at_the_depth_limit_takes_no_extra_requests() -> None:
    api = InMemoryApi(spread_rows(4999))
    assert len(api.read().activities) == 4999
    assert len(api.queries) == 50


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_pages_beyond_the_depth_are_not_requested(depth: int) -> None:
    api = InMemoryApi(spread_rows(1700))
    assert ids_of(api.read(depth=depth)) == ids_in_order(api.rows)
    assert max(query.page for query in api.queries) == depth


def test_a_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        InMemoryApi([]).read(depth=0)


# One change while a window is read


def call_before(number: int, change: Callable[[], object], api: InMemoryApi) -> None:
    """Call `change` before the request with this number."""
    seen = iter(range(1, 100_000))
    api.on_request = lambda _: change() and None if next(seen) == number else None


def test_a_window_that_changes_once_is_read_twice() -> None:
    api = InMemoryApi(spread_rows(251))
    call_before(2, lambda: api.rows.append(Row(999, START)), api)
    assert set(ids_of(api.read())) == {row.id for row in api.rows}
    assert len(api.queries) == 6


def test_a_count_that_changes_between_pages_proves_nothing() -> None:
    api = InMemoryApi(spread_rows(251))
    call_before(3, lambda: api.rows.append(Row(999, START + 24 * HOUR - SECOND)), api)
    api.rows.pop(240)
    reading = api.read()
    assert (reading.total_count, len(reading.activities)) == (251, 251)
    assert len(api.queries) == 6


def test_a_window_with_inconsistent_pages_is_read_in_parts_of_one_page() -> None:
    api = InMemoryApi(spread_rows(330))

    def make_pages_inconsistent(query: ActivityQuery) -> None:
        api.rows = sorted(api.rows, key=lambda row: row.number)
        if query.page > 1:  # every page after the first has shifted
            api.rows.append(Row(1000 + len(api.queries), START - HOUR))
            api.rows = api.rows[:330]

    api.on_request = make_pages_inconsistent
    api.report_count = lambda count, query: count + (query.page > 1)
    assert ids_of(api.read()) == ids_in_order(api.rows)


def test_a_row_removed_while_parts_are_read_is_noticed_by_the_final_count() -> None:
    api = InMemoryApi(spread_rows(460))
    call_before(len(_requests_without_changes(460, depth=2)) // 2, lambda: api.rows.pop(440), api)
    reading = api.read(depth=2)
    assert ids_of(reading) == ids_in_order(api.rows)
    assert (reading.total_count, api.queries[-1].size) == (459, 1)
    assert len(api.queries) == len(_requests_without_changes(460, depth=2)) + 1


def _requests_without_changes(count: int, **options: Any) -> list[ActivityQuery]:
    api = InMemoryApi(spread_rows(count))
    api.read(**options)
    return api.queries


def test_parts_that_do_not_add_up_to_the_window_are_read_again() -> None:
    api = InMemoryApi(spread_rows(460))
    undisturbed = len(_requests_without_changes(460, depth=2))
    # One row is in a part that has been read, the other in a part that has not.
    call_before(undisturbed - 1, lambda: api.rows.pop(440) and api.rows.pop(0), api)
    reading = api.read(depth=2)
    assert ids_of(reading) == ids_in_order(api.rows)
    assert reading.total_count == 458
    assert undisturbed + 1 < len(api.queries) <= 2 * undisturbed + 1


@pytest.mark.parametrize(("count", "depth", "added"), [(200, 1, 2), (460, 2, 1)], ids=["like a cap", "unlike a cap"])
def test_parts_with_more_rows_than_the_final_count_are_read_again_and_it_is_no_cap(
    count: int, depth: int, added: int
) -> None:
    """While parts are read, a row that was read disappears. Others are added to a part that was not read."""
    around = {"start": START + MOMENT, "over": 23 * HOUR}
    api, undisturbed = (InMemoryApi(spread_rows(count, **around)) for _ in range(2))  # type: ignore[arg-type]
    undisturbed.read(depth=depth)

    def change() -> None:
        api.rows.pop(0)
        api.rows += [Row(900 + n, START + 23.5 * HOUR + MOMENT) for n in range(added)]

    call_before(len(undisturbed.queries) - 1, change, api)
    reading = api.read(depth=depth)
    assert ids_of(reading) == ids_in_order(api.rows)
    assert (reading.total_count, reading.count_capped) == (count - 1 + added, False)


# Counts that look like a cap


def hide(api: InMemoryApi, hidden: Row, cap: int = 200) -> None:
    """Let the API neither return nor count a row if a query finds more than `cap`."""
    rows = list(api.rows)

    def show(query: ActivityQuery) -> None:
        api.rows = [row for row in rows if row != hidden or len(selected_rows(rows, query)) <= cap]

    api.on_request = show


_EACH_SECOND = [Row(number, START + HOUR + number * SECOND) for number in range(201)]
_MORE_LATER = [*rows_at_one_time(81, at=START), *(Row(100 + n, START + 2 * SECOND) for n in range(120))]
_MORE_EARLIER = [*rows_at_one_time(120, at=START), *(Row(200 + n, START + 2 * SECOND) for n in range(81))]


@pytest.mark.parametrize(
    ("rows", "hidden"),
    [
        # There is a row at each bound of the counts before and after the middle row.
        (_EACH_SECOND, _EACH_SECOND[0]),
        (_EACH_SECOND, _EACH_SECOND[-1]),
        # The middle row has the time of the last row, or of the first one.
        (_MORE_LATER, _MORE_LATER[0]),
        (_MORE_EARLIER, _MORE_EARLIER[-1]),
    ],
    ids=["the first", "the last", "one before most rows", "one after most rows"],
)
def test_one_row_beyond_a_cap_is_found_wherever_it_is(rows: list[Row], hidden: Row) -> None:
    api = InMemoryApi(list(rows))
    hide(api, hidden)
    assert ids_of(api.read()) == ids_in_order(rows)


def test_a_count_is_no_cap_if_a_row_disappears_after_it_was_read() -> None:
    api = InMemoryApi(spread_rows(200, start=START + MOMENT, over=23 * HOUR))
    call_before(3, lambda: api.rows.pop(0), api)  # after both pages, before the counts around the middle row
    reading = api.read()
    assert (len(reading.activities), reading.count_capped, len(api.queries)) == (200, False, 4)


def test_a_count_is_no_cap_if_has_more_is_wrong_and_nothing_more_is_found() -> None:
    api = InMemoryApi(spread_rows(200, start=START + MOMENT, over=23 * HOUR))
    ask = api.activities

    async def announce_more(query: ActivityQuery) -> ActivityPage:
        return replace(await ask(query), has_more=True)

    api.activities = announce_more  # type: ignore[method-assign]
    reading = api.read()
    # Two pages, the page after them, and the counts around the middle row.
    assert (len(reading.activities), reading.count_capped, len(api.queries)) == (200, False, 5)


# More rows with the same time than fit on a page


def test_a_thousand_rows_with_the_same_time_are_all_read() -> None:
    api = InMemoryApi([*spread_rows(300), *rows_at_one_time(1000, KNOWN)], ties=Random(1))  # noqa: S311
    api.rows = [replace(row, number=number) for number, row in enumerate(api.rows)]
    assert set(ids_of(api.read())) == {row.id for row in api.rows}
    assert {query.resource_type for query in api.queries} > {"MESSAGE", "TASK", None}
    assert {query.event_type for query in api.queries} > {"SENT", "OPENED", None}
    assert len(api.queries) < 1000


@pytest.mark.parametrize(("types", "count"), [(("message.sent",), 1000), (UNKNOWN, 400), (KNOWN + UNKNOWN, 400)])
def test_rows_of_unlisted_types_with_the_same_time_are_all_read(types: tuple[str, ...], count: int) -> None:
    api = InMemoryApi(rows_at_one_time(count, types), ties=Random(2))  # noqa: S311
    reading = api.read()
    assert ids_of(reading) == ids_in_order(api.rows)
    assert reading.total_count == count
    assert len(api.queries) < count


def test_parts_by_type_that_fit_on_a_page_are_read_at_most_twice() -> None:
    types = tuple(f"{kind}.created" for kind in ("message", "task", "meeting", "hot_lead", "sequence"))
    api = InMemoryApi(rows_at_one_time(400, types), ties=Random(3))  # noqa: S311
    assert ids_of(api.read()) == ids_in_order(api.rows)
    by_type = [query for query in api.queries if query.resource_type]
    assert len(by_type) % 14 == 0
    assert {query.page for query in by_type} == {1}
    assert {query.event_type for query in by_type} == {None}


def test_a_temporary_row_does_not_replace_a_row_of_an_unlisted_type() -> None:
    types = ("message.sent", "task.created", "invitation.sent")
    unknown, guest = Row(500, START + HOUR, "weather.changed"), Row(600, START + HOUR, "meeting.created")
    api = InMemoryApi([*rows_at_one_time(297, types), unknown], ties=Random(4))  # noqa: S311
    visits = iter([True])

    def add_and_remove_guest(query: ActivityQuery) -> None:
        if guest in api.rows:
            api.rows.remove(guest)
        elif query.resource_type == "MEETING" and next(visits, False):
            api.rows.append(guest)

    api.on_request = add_and_remove_guest
    assert unknown.id in ids_of(api.read())


_HERE = START + HOUR + MOMENT
_GUEST = Row(600, _HERE, "message.sent")


def add_under_filter(api: InMemoryApi, *guests: Row, moving: Row | None = None) -> None:
    """Let the filter MESSAGE find rows that do not exist, and one that moves to TASK once that filter is used."""
    rows = [row for row in api.rows if row != moving]

    def show(query: ActivityQuery) -> None:
        type_ = "task.created" if query.resource_type == "TASK" else "message.sent"
        moved = [replace(moving, type=type_)] if moving else []
        api.rows = [*rows, *moved, *(guests if query.resource_type == "MESSAGE" else ())]

    api.on_request = show


def test_parts_that_together_count_more_than_the_whole_prove_nothing() -> None:
    """One row is in two parts, one in no part, and one does not exist, so that as many rows are received as counted."""
    types = ("message.sent", "task.created", "invitation.sent")
    unknown = Row(500, _HERE, "weather.changed")
    api = InMemoryApi([*rows_at_one_time(270, types), unknown], ties=Random(4))  # noqa: S311
    add_under_filter(api, _GUEST, moving=api.rows[0])
    assert unknown.id in ids_of(api.read())


def test_every_type_is_read_even_if_the_first_ones_have_as_many_rows_as_the_whole() -> None:
    last = Row(500, _HERE, "task.created")
    api = InMemoryApi([*rows_at_one_time(180, ("message.sent", "message.opened")), last], ties=Random(4))  # noqa: S311
    add_under_filter(api, _GUEST)
    assert last.id in ids_of(api.read())


def test_no_further_type_is_read_once_the_parts_have_more_rows_than_the_whole() -> None:
    api = InMemoryApi(rows_at_one_time(101, ("message.sent", "task.created")))
    api.report_count = lambda count, query: count + (query.resource_type is None and count > 100 and query.size > 1)
    add_under_filter(api, *(replace(_GUEST, number=600 + n) for n in range(60)))
    api.read_refused()
    assert {query.resource_type for query in api.queries} == {None, "MESSAGE"}


def test_a_part_with_rows_of_other_types_proves_nothing() -> None:
    api = InMemoryApi(rows_at_one_time(150, KNOWN))
    ask, kinds = api.activities, set()

    async def ignore_filters(query: ActivityQuery) -> ActivityPage:
        kinds.add(query.resource_type)
        page = await ask(replace(query, resource_type=None, event_type=None))
        is_wrong = query.resource_type is None and query.size > 1 and page.total_count > 100
        return replace(page, total_count=page.total_count + is_wrong)

    api.activities = ignore_filters  # type: ignore[method-assign]
    api.read_refused()
    assert kinds == {None, "MESSAGE"}  # with the first such part, the rest is not read


def test_readings_with_different_counts_are_not_combined() -> None:
    outcomes = [_contains_permanent_rows(seed) for seed in range(15)]
    assert False not in outcomes
    assert True in outcomes


def _contains_permanent_rows(seed: int) -> bool | None:
    """Return whether the reading has all permanent rows while others add_late_row and go; None if it is refused."""
    api = InMemoryApi(rows_at_one_time(30, UNKNOWN), ties=Random(seed), page_size=4)  # noqa: S311
    permanent = {row.id for row in api.rows}
    requests = iter(range(100_000))

    def add_and_remove_rows(query: ActivityQuery) -> None:
        request = next(requests)
        if request % 24 == 0 and request < 380:
            api.rows.append(Row(1000 + len(api.queries), START + HOUR, UNKNOWN[0]))
        elif request % 24 == 12:
            api.rows = [row for row in api.rows if row.id in permanent]

    api.on_request = add_and_remove_rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "MAX_PAGE_SIZE", 4)
        try:
            return permanent <= set(ids_of(api.read()))
        except IncompleteWindow:
            return None


def test_a_time_with_more_pages_than_the_depth_is_read() -> None:
    api = InMemoryApi([*rows_at_one_time(700), *(replace(row, number=1000 + row.number) for row in spread_rows(500))])
    assert set(ids_of(api.read(depth=3))) == {row.id for row in api.rows}


def test_a_filter_that_selects_everything_is_detected() -> None:
    api = InMemoryApi(rows_at_one_time(300, KNOWN), ties=Random(5))  # noqa: S311
    ask = api.activities
    api.activities = lambda query, **_: ask(replace(query, resource_type=None, event_type=None))  # type: ignore[method-assign]
    assert ids_of(api.read()) == ids_in_order(api.rows)
    assert len(api.queries) < 300


def test_a_filter_that_returns_other_types_is_refused_and_one_is_named() -> None:
    api = InMemoryApi(spread_rows(20))
    ask = api.activities
    api.activities = lambda query, **_: ask(replace(query, event_type=None))  # type: ignore[method-assign]
    refused = api.read_refused(event_type=EventType.REPLIED)
    assert "Topo's type filter returned message.sent" in str(refused)


# Windows that are refused

_WRONG_COUNTS: dict[str, Callable[[int, ActivityQuery], int]] = {
    "one more": lambda count, _: count + 1,
    "one less": lambda count, _: max(0, count - 1),
    "twice": lambda count, _: 2 * count,
    "a hundred times": lambda count, _: 100 * count,
    "none": lambda count, _: 0,
    "always the same": lambda count, _: 12_345,
    "different on each page": lambda count, query: count + query.page,
    "wrong for parts only": lambda count, query: count + (query.created_at_after != DAY.start - MARGIN),
    "wrong for the window only": lambda count, query: count + (query.params().items() >= _WHOLE.items()),
}
_WHOLE = {"created_at_after": "2026-02-28T23:59:57Z", "created_at_before": "2026-03-02T00:00:03Z"}


@pytest.mark.parametrize("wrong_count", _WRONG_COUNTS)
@pytest.mark.parametrize(
    "rows",
    [spread_rows(31), spread_rows(251), spread_rows(700), rows_at_one_time(250), rows_at_one_time(700)],
    ids=["a page", "some pages", "deep", "one time", "one time, deep"],
)
def test_a_wrong_count_is_refused_and_the_received_rows_are_kept(wrong_count: str, rows: list[Row]) -> None:
    api = InMemoryApi(list(rows), report_count=_WRONG_COUNTS[wrong_count])
    if wrong_count == "wrong for parts only" and len(rows) < 500:
        assert ids_of(api.read(depth=5)) == ids_in_order(rows)
        return
    error = api.read_refused(depth=5)
    assert set(ids_of(error.reading)) <= {row.id for row in rows}
    if wrong_count.startswith(("one", "wrong")):
        assert ids_of(error.reading) == ids_in_order(rows)
    assert error.reading.requests == len(api.queries) <= 120 + 60 * -(-len(rows) // 100)
    assert "request id" in str(error)


@pytest.mark.parametrize(
    "rows", [spread_rows(251), spread_rows(700), rows_at_one_time(250)], ids=["some pages", "deep", "one time"]
)
@pytest.mark.parametrize("count", [2_000_001, 10**9, 2**63 - 1])
def test_an_impossible_count_ends_the_reading_at_once(count: int, rows: list[Row]) -> None:
    api = InMemoryApi(rows, report_count=lambda *_: count)
    with pytest.raises(LimitExceeded, match=f"Topo counts {count} activities"):
        api.read()
    assert len(api.queries) == 1


def test_a_day_is_refused_at_the_request_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "MAX_REQUESTS", 40)
    api = InMemoryApi(spread_rows(3900), report_count=lambda count, query: count + query.page)
    with pytest.raises(LimitExceeded, match="40 requests"):
        api.read()
    assert len(api.queries) == 40


def test_a_day_is_refused_at_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "MAX_TIME", timedelta(0))
    with pytest.raises(LimitExceeded, match="took longer"):
        InMemoryApi(spread_rows(251)).read()


@pytest.mark.parametrize("shift", [-30, 30])
def test_ignored_bounds_are_detected(shift: int) -> None:
    api = InMemoryApi(spread_rows(6000, start=START + shift * HOUR))
    ask = api.activities
    others: dict[str, Any] = {"created_at_after": START - 90 * HOUR, "created_at_before": START + 90 * HOUR}
    api.activities = lambda query, **_: ask(replace(query, **others))  # type: ignore[method-assign]
    assert api.read_refused().reading.activities == []
    assert len(api.queries) < 100


@pytest.mark.parametrize("page", [1, 3, 5])
def test_an_error_while_parts_are_read_is_raised_unchanged(page: int) -> None:
    api = InMemoryApi(spread_rows(1_201))

    def fail_on_page(query: ActivityQuery) -> None:
        if query.page == page and len(api.queries) > 1:
            raise RequestRefused("no", status=400)

    api.on_request = fail_on_page
    with pytest.raises(RequestRefused):
        api.read(depth=5)


# Over real HTTP


def over_http(app: PagedApi, concurrency: int = 4, **options: Any) -> Reading:
    async def go(address: str) -> Reading:
        async with client_of(address, concurrency=concurrency) as client:
            return await read_window(client, DAY, **options)

    with serve(app) as address:
        return asyncio.run(go(address))


def test_150_rows_with_the_same_time_over_http() -> None:
    types = [*KNOWN, *UNKNOWN]
    items = [item_of(number, "2026-03-01T10:00:00Z", type=types[number % len(types)]) for number in range(150)]
    app = PagedApi(items, ties=Random(6))  # noqa: S311
    reading = over_http(app)
    assert ids_of(reading) == [uuid_of(number) for number in range(150)]
    assert reading.requests == len(app.requests)


def test_a_deep_window_over_http() -> None:
    app = PagedApi([item_of(row.number, row.at.isoformat()) for row in spread_rows(1000)])
    reading = over_http(app, depth=3)
    assert len(reading.activities) == reading.total_count == 1000
    assert reading.requests == len(app.requests)
    assert max(int(request.params["page"]) for request in app.requests) == 3


def test_rows_added_while_pages_are_read_over_http() -> None:
    items = [item_of(row.number, row.at.isoformat()) for row in spread_rows(460)]
    late = [item_of(1000 + number, START.isoformat()) for number in range(3)]
    app = PagedApi(items, between=lambda page, _: items.append(late.pop()) if late and page > 1 else None)
    reading = over_http(app)
    assert {activity.id for activity in reading.activities} == {item["id"] for item in items}
    assert len(items) == 463


# Edge cases of the repair


def test_reading_one_event_type_returns_only_its_activities() -> None:
    rows = [*spread_rows(30), *rows_at_one_time(20, ("message.replied",))]
    api = InMemoryApi([replace(row, number=number) for number, row in enumerate(rows)])
    reading = api.read(event_type=EventType.REPLIED)
    assert ids_of(reading) == ids_in_order([row for row in api.rows if row.type == "message.replied"])
    assert reading.total_count == 20


def test_an_unproved_part_by_type_names_its_type() -> None:
    api = InMemoryApi(rows_at_one_time(250, ("message.sent", "task.created")), ties=Random(8))  # noqa: S311
    api.report_count = lambda count, query: count + (query.resource_type == "MESSAGE")
    assert (
        "The part 2026-03-01T00:59:59Z to 2026-03-01T01:00:01Z resource_type=MESSAGE event_type=SENT"
        " is not proved complete: 126 counted, 125 received"
    ) in str(api.read_refused())


def test_a_row_that_only_inconsistent_readings_have_is_left_out() -> None:
    api, guest = InMemoryApi(spread_rows(251)), Row(999, START + 23 * HOUR)

    def add_and_remove_guest(query: ActivityQuery) -> None:
        api.rows = [*spread_rows(251), *([guest] if query.page > 1 else [])]

    api.on_request = add_and_remove_guest
    reading = api.read()
    assert ids_of(reading) == ids_in_order(spread_rows(251))
    assert reading.total_count == 251


def test_a_refused_window_keeps_the_reading_with_the_most_rows() -> None:
    rows = spread_rows(251)
    api = InMemoryApi(rows, report_count=_WRONG_COUNTS["one more"])

    def hide_rows_from_other_queries(query: ActivityQuery) -> None:
        api.rows = rows if query.params().items() >= _WHOLE.items() else rows[::2]

    api.on_request = hide_rows_from_other_queries
    assert ids_of(api.read_refused().reading) == ids_in_order(rows)


def test_read_proved_reads_parts_that_do_not_add_up_again() -> None:
    api = InMemoryApi(spread_rows(460))
    call_before(len(_requests_without_changes(460, depth=2)) - 1, lambda: api.rows.pop(440) and api.rows.pop(0), api)
    query = ActivityQuery(created_at_after=DAY.start - SECOND, created_at_before=DAY.end)
    outcome = asyncio.run(repair.read_proved(cast(TopoClient, api), query, depth=2))
    assert outcome.refused is None
    assert outcome.tally.rows.activities.keys() == set(ids_in_order(api.rows))


def test_a_row_added_before_the_parts_by_type_is_part_of_their_proof() -> None:
    types = tuple(f"{kind}.created" for kind in ("message", "task", "meeting", "hot_lead", "sequence"))
    api = InMemoryApi(rows_at_one_time(400, types), ties=Random(9))  # noqa: S311
    late = iter([Row(999, START + HOUR + MOMENT, types[0])])
    by_type: list[ActivityQuery] = []

    def add_late_row(query: ActivityQuery) -> None:
        if query.resource_type:
            api.rows.extend(late)
            by_type.append(query)

    api.on_request = add_late_row
    reading = api.read()
    assert (ids_of(reading), reading.total_count) == (ids_in_order(api.rows), 401)
    # No part that was read by type is read again without a type filter.
    assert {query.page for query in by_type} == {1}
    assert all(api.queries.count(replace(query, resource_type=None)) <= repair.ATTEMPTS for query in by_type)


def test_a_window_can_be_split_at_a_last_page_of_one_row() -> None:
    api = InMemoryApi(spread_rows(401), report_count=lambda count, _: count + 500)
    assert ids_of(api.read_refused(depth=5).reading) == ids_in_order(api.rows)


def test_after_a_refused_part_the_rest_is_read_only_once() -> None:
    api = InMemoryApi(spread_rows(2000), report_count=_WRONG_COUNTS["one more"])
    assert ids_of(api.read_refused(depth=5).reading) == ids_in_order(api.rows)
    assert len(api.queries) <= 4 * 20  # only the pages of the first part are read again and split
