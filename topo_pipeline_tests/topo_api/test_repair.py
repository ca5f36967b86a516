"""Torn windows are repaired or refused, whatever happens between two requests; and at what price."""

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
from topo_pipeline.topo_api.wire import ActivityQuery, EventType
from topo_pipeline_tests.topo_api.helpers import Model, client_of, item_of, uuid_of
from topo_pipeline_tests.topo_api.worlds import (
    DAY,
    HOUR,
    KNOWN,
    MOMENT,
    SECOND,
    START,
    UNKNOWN,
    Row,
    World,
    all_of,
    at_once,
    excess,
    ids_of,
    spread,
)

_SHAPES: dict[str, Callable[[int], list[Row]]] = {
    "uniform": spread,
    "one hour": lambda count: spread(count, HOUR, START + 5 * HOUR),
    "two bursts": lambda count: [
        *spread(count // 2, HOUR / 4, START + 3 * HOUR),
        *(replace(row, number=count + row.number) for row in spread(count - count // 2, HOUR / 4, START + 20 * HOUR)),
    ],
}


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("count", [5051, *(pytest.param(n, marks=pytest.mark.full) for n in (5001, 10_000, 20_000))])
def test_a_deep_window_is_read_in_parts_for_five_percent_more_requests_at_most(shape: str, count: int) -> None:
    world = World(_SHAPES[shape](count))
    reading = world.read()
    assert ids_of(reading) == all_of(world.rows)
    assert (reading.total_count, reading.requests) == (count, len(world.asked))
    assert max(query.page for query in world.asked) <= 50
    assert excess(world) <= Fraction(5, 100)


def test_a_window_as_deep_as_may_be_costs_its_pages_and_nothing_more() -> None:
    world = World(spread(4999))
    assert len(world.read().activities) == 4999
    assert len(world.asked) == 50


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_pages_beyond_the_depth_are_not_asked_for(depth: int) -> None:
    world = World(spread(1700))
    assert ids_of(world.read(depth=depth)) == all_of(world.rows)
    assert max(query.page for query in world.asked) == depth


def test_a_depth_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        World([]).read(depth=0)


# What goes wrong, once


def at_request(number: int, change: Callable[[], object], world: World) -> None:
    """Let `change` happen just before a request."""
    seen = iter(range(1, 100_000))
    world.change = lambda _: change() and None if next(seen) == number else None


def test_a_window_torn_once_is_read_again_and_no_more() -> None:
    world = World(spread(251))
    at_request(2, lambda: world.rows.append(Row(999, START)), world)
    assert set(ids_of(world.read())) == {row.id for row in world.rows}
    assert len(world.asked) == 6


def test_a_count_that_moves_between_pages_is_no_proof_even_where_the_rows_are_as_many() -> None:
    world = World(spread(251))
    at_request(3, lambda: world.rows.append(Row(999, START + 24 * HOUR - SECOND)), world)
    world.rows.pop(240)
    reading = world.read()
    assert (reading.total_count, len(reading.activities)) == (251, 251)
    assert len(world.asked) == 6


def test_a_window_that_is_torn_whenever_it_takes_pages_is_read_in_parts_of_one() -> None:
    world = World(spread(330))

    def tear(query: ActivityQuery) -> None:
        world.rows = sorted(world.rows, key=lambda row: row.number)
        if query.page > 1:  # whatever is asked beyond a first page has shifted
            world.rows.append(Row(1000 + len(world.asked), START - HOUR))
            world.rows = world.rows[:330]

    world.change = tear
    world.tell = lambda count, query: count + (query.page > 1)
    assert ids_of(world.read()) == all_of(world.rows)


def test_a_row_that_goes_while_parts_are_read_shows_in_the_count_that_is_asked_at_the_end() -> None:
    world = World(spread(460))
    at_request(len(_asked(460, depth=2)) // 2, lambda: world.rows.pop(440), world)
    reading = world.read(depth=2)
    assert ids_of(reading) == all_of(world.rows)
    assert (reading.total_count, world.asked[-1].size) == (459, 1)
    assert len(world.asked) == len(_asked(460, depth=2)) + 1


def _asked(count: int, **options: Any) -> list[ActivityQuery]:
    world = World(spread(count))
    world.read(**options)
    return world.asked


def test_parts_that_no_longer_add_up_to_the_whole_are_read_again() -> None:
    world = World(spread(460))
    quiet = len(_asked(460, depth=2))
    # Of one the part has been read, of the other not yet.
    at_request(quiet - 1, lambda: world.rows.pop(440) and world.rows.pop(0), world)
    reading = world.read(depth=2)
    assert ids_of(reading) == all_of(world.rows)
    assert reading.total_count == 458
    assert quiet + 1 < len(world.asked) <= 2 * quiet + 1


# A second that holds more than a page


def test_a_thousand_rows_at_one_instant_are_all_seen_however_they_are_ordered() -> None:
    world = World([*spread(300), *at_once(1000, KNOWN)], ties=Random(1))  # noqa: S311
    world.rows = [replace(row, number=number) for number, row in enumerate(world.rows)]
    assert set(ids_of(world.read())) == {row.id for row in world.rows}
    assert {query.resource_type for query in world.asked} > {"MESSAGE", "TASK", None}
    assert {query.event_type for query in world.asked} > {"SENT", "OPENED", None}
    assert len(world.asked) < 1000


@pytest.mark.parametrize("types", [("message.sent",), UNKNOWN, KNOWN + UNKNOWN])
def test_types_that_no_filter_selects_are_seen_among_a_thousand_at_one_instant(types: tuple[str, ...]) -> None:
    world = World(at_once(1000, types), ties=Random(2))  # noqa: S311
    reading = world.read()
    assert ids_of(reading) == all_of(world.rows)
    assert reading.total_count == 1000
    assert len(world.asked) < 1000


def test_parts_by_type_that_fit_a_page_need_no_more_than_two_looks() -> None:
    types = tuple(f"{kind}.created" for kind in ("message", "task", "meeting", "hot_lead", "sequence"))
    world = World(at_once(400, types), ties=Random(3))  # noqa: S311
    assert ids_of(world.read()) == all_of(world.rows)
    by_type = [query for query in world.asked if query.resource_type]
    assert len(by_type) % 14 == 0
    assert {query.page for query in by_type} == {1}
    assert {query.event_type for query in by_type} == {None}


def test_a_known_row_that_comes_and_goes_does_not_stand_in_for_an_unknown_one() -> None:
    types = ("message.sent", "task.created", "invitation.sent")
    unknown, guest = Row(500, START + HOUR, "weather.changed"), Row(600, START + HOUR, "meeting.created")
    world = World([*at_once(297, types), unknown], ties=Random(4))  # noqa: S311
    visits = iter([True])

    def visit(query: ActivityQuery) -> None:
        if guest in world.rows:
            world.rows.remove(guest)
        elif query.resource_type == "MEETING" and next(visits, False):
            world.rows.append(guest)

    world.change = visit
    assert unknown.id in ids_of(world.read())


def test_readings_between_which_the_count_moved_are_not_put_together() -> None:
    outcomes = [_reads_those_that_stayed(seed) for seed in range(15)]
    assert False not in outcomes
    assert True in outcomes


def _reads_those_that_stayed(seed: int) -> bool | None:
    """Whether all that stayed are in the reading of an instant where guests come and go; None where it is refused."""
    world = World(at_once(30, UNKNOWN), ties=Random(seed), page_size=4)  # noqa: S311
    stayed = {row.id for row in world.rows}
    requests = iter(range(100_000))

    def move(query: ActivityQuery) -> None:
        request = next(requests)
        if request % 24 == 0 and request < 380:
            world.rows.append(Row(1000 + len(world.asked), START + HOUR, UNKNOWN[0]))
        elif request % 24 == 12:
            world.rows = [row for row in world.rows if row.id in stayed]

    world.change = move
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "MAX_PAGE_SIZE", 4)
        try:
            return stayed <= set(ids_of(world.read()))
        except IncompleteWindow:
            return None


def test_an_instant_deeper_than_the_depth_is_read_all_the_same() -> None:
    world = World([*at_once(700), *(replace(row, number=1000 + row.number) for row in spread(500))])
    assert set(ids_of(world.read(depth=3))) == {row.id for row in world.rows}


def test_a_filter_that_selects_everything_is_found_out() -> None:
    world = World(at_once(300, KNOWN), ties=Random(5))  # noqa: S311
    ask = world.activities
    world.activities = lambda query, **_: ask(replace(query, resource_type=None, event_type=None))  # type: ignore[method-assign]
    assert ids_of(world.read()) == all_of(world.rows)
    assert len(world.asked) < 300


def test_a_filter_that_returns_other_types_is_refused_with_one_of_them() -> None:
    world = World(spread(20))
    ask = world.activities
    world.activities = lambda query, **_: ask(replace(query, event_type=None))  # type: ignore[method-assign]
    refused = world.refuse(event_type=EventType.REPLIED)
    assert "Topo's type filter returned message.sent" in str(refused)


# What can't be had

_LIES: dict[str, Callable[[int, ActivityQuery], int]] = {
    "one more": lambda count, _: count + 1,
    "one less": lambda count, _: max(0, count - 1),
    "twice": lambda count, _: 2 * count,
    "a hundred times": lambda count, _: 100 * count,
    "none": lambda count, _: 0,
    "always the same": lambda count, _: 12_345,
    "another on each page": lambda count, query: count + query.page,
    "of parts only": lambda count, query: count + (query.created_at_after != DAY.start - MARGIN),
    "of the whole only": lambda count, query: count + (query.params().items() >= _WHOLE.items()),
}
_WHOLE = {"created_at_after": "2026-02-28T23:59:57Z", "created_at_before": "2026-03-02T00:00:03Z"}


@pytest.mark.parametrize("lie", _LIES)
@pytest.mark.parametrize(
    "rows",
    [spread(31), spread(251), spread(700), at_once(250), at_once(700)],
    ids=["a page", "some pages", "deep", "an instant", "a deep instant"],
)
def test_a_count_that_lies_is_refused_in_time_and_what_was_received_is_there(lie: str, rows: list[Row]) -> None:
    world = World(list(rows), tell=_LIES[lie])
    if lie == "of parts only" and len(rows) < 500:
        assert ids_of(world.read(depth=5)) == all_of(rows)
        return
    error = world.refuse(depth=5)
    assert set(ids_of(error.reading)) <= {row.id for row in rows}
    if lie.startswith(("one", "of")):
        assert ids_of(error.reading) == all_of(rows)
    assert error.reading.requests == len(world.asked) <= 120 + 60 * -(-len(rows) // 100)
    assert error.request_ids


@pytest.mark.parametrize("rows", [spread(251), spread(700), at_once(250)], ids=["some pages", "deep", "an instant"])
@pytest.mark.parametrize("count", [2_000_001, 10**9, 2**63 - 1])
def test_a_count_that_no_day_has_ends_the_reading_at_once(count: int, rows: list[Row]) -> None:
    world = World(rows, tell=lambda *_: count)
    with pytest.raises(LimitExceeded, match=f"Topo counts {count} activities"):
        world.read()
    assert len(world.asked) == 1


def test_a_day_that_takes_more_requests_than_any_should_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "MAX_REQUESTS", 40)
    world = World(spread(3900), tell=lambda count, query: count + query.page)
    with pytest.raises(LimitExceeded, match="40 requests"):
        world.read()
    assert len(world.asked) == 40


def test_a_day_that_takes_longer_than_any_should_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "MAX_TIME", timedelta(0))
    with pytest.raises(LimitExceeded, match="took longer"):
        World(spread(251)).read()


@pytest.mark.parametrize("shift", [-30, 30])
def test_bounds_that_are_ignored_are_found_out(shift: int) -> None:
    world = World(spread(6000, start=START + shift * HOUR))
    ask = world.activities
    others: dict[str, Any] = {"created_at_after": START - 90 * HOUR, "created_at_before": START + 90 * HOUR}
    world.activities = lambda query, **_: ask(replace(query, **others))  # type: ignore[method-assign]
    assert world.refuse().reading.activities == []
    assert len(world.asked) < 100


@pytest.mark.parametrize("page", [1, 3, 50])
def test_a_failure_in_the_midst_of_parts_is_raised_as_itself(page: int) -> None:
    world = World(spread(12_001))

    def fail(query: ActivityQuery) -> None:
        if query.page == page and len(world.asked) > 1:
            raise RequestRefused("no", status=400, type="ValidationIssue")

    world.change = fail
    with pytest.raises(RequestRefused):
        world.read()


# Over real HTTP


def over_http(app: Model, concurrency: int = 4, **options: Any) -> Reading:
    async def go(address: str) -> Reading:
        async with client_of(address, concurrency=concurrency) as client:
            return await read_window(client, DAY, **options)

    with serve(app) as address:
        return asyncio.run(go(address))


def test_three_hundred_at_one_instant_over_http() -> None:
    types = [*KNOWN, *UNKNOWN]
    items = [item_of(number, "2026-03-01T10:00:00Z", type=types[number % len(types)]) for number in range(300)]
    app = Model(items, ties=Random(6))  # noqa: S311
    reading = over_http(app)
    assert ids_of(reading) == [uuid_of(number) for number in range(300)]
    assert reading.requests == len(app.requests)


def test_a_deep_window_over_http() -> None:
    app = Model([item_of(row.number, row.at.isoformat()) for row in spread(1000)])
    reading = over_http(app, depth=3)
    assert len(reading.activities) == reading.total_count == 1000
    assert reading.requests == len(app.requests)
    assert max(int(request.params["page"]) for request in app.requests) == 3


def test_rows_that_come_while_pages_are_read_over_http() -> None:
    items = [item_of(row.number, row.at.isoformat()) for row in spread(460)]
    late = [item_of(1000 + number, START.isoformat()) for number in range(3)]
    app = Model(items, between=lambda page, _: items.append(late.pop()) if late and page > 1 else None)
    reading = over_http(app)
    assert {activity.id for activity in reading.activities} == {item["id"] for item in items}
    assert len(items) == 463


# Edge cases of the repair


def test_of_one_event_type_only_its_activities_are_read() -> None:
    rows = [*spread(30), *at_once(20, ("message.replied",))]
    world = World([replace(row, number=number) for number, row in enumerate(rows)])
    reading = world.read(event_type=EventType.REPLIED)
    assert ids_of(reading) == all_of([row for row in world.rows if row.type == "message.replied"])
    assert reading.total_count == 20


def test_a_part_by_type_that_is_not_proved_is_named_by_its_type() -> None:
    world = World(at_once(250, ("message.sent", "task.created")), ties=Random(8))  # noqa: S311
    world.tell = lambda count, query: count + (query.resource_type == "MESSAGE")
    assert (
        "The part 2026-03-01T00:59:59Z to 2026-03-01T01:00:01Z resource_type=MESSAGE event_type=SENT"
        " is not proved complete: 126 counted, 125 received"
    ) in str(world.refuse())


def test_a_row_that_only_torn_readings_show_is_not_in_the_reading() -> None:
    world, guest = World(spread(251)), Row(999, START + 23 * HOUR)

    def visit(query: ActivityQuery) -> None:
        world.rows = [*spread(251), *([guest] if query.page > 1 else [])]

    world.change = visit
    reading = world.read()
    assert ids_of(reading) == all_of(spread(251))
    assert reading.total_count == 251


def test_a_refused_window_returns_the_reading_that_received_most() -> None:
    rows = spread(251)
    world = World(rows, tell=_LIES["one more"])

    def hide(query: ActivityQuery) -> None:
        world.rows = rows if query.params().items() >= _WHOLE.items() else rows[::2]

    world.change = hide
    assert ids_of(world.refuse().reading) == all_of(rows)


def test_without_a_keeper_parts_that_do_not_add_up_are_read_again_too() -> None:
    world = World(spread(460))
    at_request(len(_asked(460, depth=2)) - 1, lambda: world.rows.pop(440) and world.rows.pop(0), world)
    query = ActivityQuery(created_at_after=DAY.start - SECOND, created_at_before=DAY.end)
    outcome = asyncio.run(repair.read_proved(cast(TopoClient, world), query, depth=2))
    assert outcome.refused is None
    assert outcome.tally.rows.activities.keys() == set(all_of(world.rows))


def test_a_row_that_comes_before_the_parts_by_type_are_read_is_in_their_proof() -> None:
    types = tuple(f"{kind}.created" for kind in ("message", "task", "meeting", "hot_lead", "sequence"))
    world = World(at_once(400, types), ties=Random(9))  # noqa: S311
    late = iter([Row(999, START + HOUR + MOMENT, types[0])])
    by_type: list[ActivityQuery] = []

    def come(query: ActivityQuery) -> None:
        if query.resource_type:
            world.rows.extend(late)
            by_type.append(query)

    world.change = come
    reading = world.read()
    assert (ids_of(reading), reading.total_count) == (all_of(world.rows), 401)
    # No part that was read by type is read again until every row was seen.
    assert {query.page for query in by_type} == {1}
    assert all(world.asked.count(replace(query, resource_type=None)) <= repair.ATTEMPTS for query in by_type)


def test_a_deepest_page_of_one_row_is_enough_to_cut_at() -> None:
    world = World(spread(401), tell=lambda count, _: count + 500)
    assert ids_of(world.refuse(depth=5).reading) == all_of(world.rows)


def test_after_a_part_is_refused_the_rest_is_read_only_once() -> None:
    world = World(spread(2000), tell=_LIES["one more"])
    assert ids_of(world.refuse(depth=5).reading) == all_of(world.rows)
    assert len(world.asked) <= 4 * 20  # only the pages of the first part are read again and split
