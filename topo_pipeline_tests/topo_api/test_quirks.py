"""With any constant quirk of the API, a day holds every activity or is refused."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.days import Window
from topo_pipeline.topo_api import repair
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.errors import EchoMissing, IncompleteWindow, TimesDisagree
from topo_pipeline.topo_api.windows import Evidence, read_window
from topo_pipeline.topo_api.wire import Activity, ActivityPage, ActivityQuery
from topo_pipeline_tests.topo_api.in_memory_api import KNOWN, START, UNKNOWN, Row, is_selected

DAY = timedelta(days=1)
VERY_EARLY = datetime(2000, 1, 1, tzinfo=UTC)
DAYS = [Window(START + number * DAY, START + (number + 1) * DAY) for number in range(3)]


def exact(at: datetime) -> datetime:
    return at


def rounded(unit: timedelta, by: timedelta) -> Callable[[datetime], datetime]:
    """Round down to a multiple of `unit`, after adding `by`."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return lambda at: epoch + (at + by - epoch) // unit * unit


@dataclass
class QuirkyApi:
    """An API that differs from the contract in the same way for every request.

    Attributes:
        rows: The rows, with their true times.
        shown: Returns the time that is shown for a true time.
        shift: Added to the requested bounds.
        cap: The largest count.
        more: The value of `has_more`. None: the right value.
        largest_page: The most rows on a page.
        is_blind: Whether bounds are ignored.
        ignored: Type filters that are ignored.
        repeats_last_page: Whether a page after the last one repeats it instead of being empty.
        hides: Whether rows beyond the cap are on no page.
        order: The order of the rows. Empty: the requested order.
    """

    rows: list[Row]
    shown: Callable[[datetime], datetime] = exact
    shift: timedelta = timedelta(0)
    cap: int | None = None
    more: bool | None = None
    largest_page: int = 100
    is_blind: bool = False
    ignored: tuple[str, ...] = ()
    repeats_last_page: bool = False
    hides: bool = False
    order: str = "asc"
    concurrency: int = 4
    requests: int = 0

    async def activities(self, query: ActivityQuery) -> ActivityPage:
        self.requests += 1
        assert query.created_at_before
        after, before = (query.created_at_after or VERY_EARLY) + self.shift, query.created_at_before + self.shift
        types = {name: value for name, value in query.params().items() if name not in self.ignored}
        found = [row for row in self.rows if self.is_blind or after < row.at < before]
        found = [row for row in found if is_selected(row.type, types)]
        order = self.order or query.sort_order
        found.sort(key=lambda row: (row.at, row.number), reverse=order == "desc")
        size = min(query.size, self.largest_page)
        count = len(found) if self.cap is None else min(len(found), self.cap)
        pages = -(-len(found) // size)
        if self.hides:
            found = found[:count]
        page = min(query.page, max(1, pages)) if self.repeats_last_page else query.page
        return ActivityPage(
            activities=[
                Activity(row.id, self.shown(row.at), f'{{"type": "{row.type}"}}')
                for row in found[(page - 1) * size : page * size]
            ],
            rejects=[],
            total_count=count,
            total_pages=-(-count // size),
            has_more=page < pages if self.more is None else self.more,
        )

    def day(self, window: Window, evidence: Evidence) -> set[str] | IncompleteWindow:
        before, client = self.requests, cast(TopoClient, self)
        try:
            reading = asyncio.run(read_window(client, window, evidence=evidence, depth=4))
        except IncompleteWindow as error:
            return error
        assert reading.requests == self.requests - before
        return {activity.id for activity in reading.activities}

    def proved_days(self) -> list[bool]:
        """Read the days in order, as a run does. Return whether each was proved; fail if one was proved wrongly."""
        evidence, outcomes = Evidence(), []
        for window in DAYS:
            got = self.day(window, evidence)
            outcomes.append(isinstance(got, set))
            if isinstance(got, EchoMissing):  # ends the run
                return outcomes + [False] * (len(DAYS) - len(outcomes))
            if isinstance(got, set):
                assert got == {row.id for row in self.rows if self.shown(row.at) in window}
        return outcomes


def rows_at(seconds: list[float], types: tuple[str, ...] = KNOWN) -> list[Row]:
    return [Row(n, START + timedelta(seconds=at), types[n % len(types)]) for n, at in enumerate(seconds)]


def rows_over_five_days(count: int) -> list[Row]:
    """Return `count` rows over five days, of which the middle three are read."""
    return rows_at([number * 432_000 / count - 86_400 + 0.3 for number in range(count)])


HANDLED_QUIRKS = {
    "none": {},
    "rounded down to the second": {"shown": rounded(timedelta(seconds=1), timedelta(0))},
    "rounded up to the second": {"shown": rounded(timedelta(seconds=1), timedelta(seconds=0.999999))},
    "rounded to the nearest minute": {"shown": rounded(timedelta(minutes=1), timedelta(seconds=30))},
    "rounded down to the hour": {"shown": rounded(timedelta(hours=1), timedelta(0))},
    "rounded down to seven seconds": {"shown": rounded(timedelta(seconds=7), timedelta(0))},
    "bounds a second late": {"shift": timedelta(seconds=1)},
    "capped": {"cap": 100},
    "capped, never more": {"cap": 200, "more": False},
    "capped, last page repeated": {"cap": 200, "repeats_last_page": True},
    "capped within a page": {"cap": 250, "more": False},
    "capped at a power of two": {"cap": 128, "more": False},
    "capped, rows beyond hidden, has_more true": {"cap": 200, "hides": True},
    "capped, rows beyond hidden": {"cap": 200, "hides": True, "more": False},
    "capped, newest first": {"cap": 200, "order": "desc", "hides": True, "more": False},
    "capped, pages of thirty": {"cap": 100, "largest_page": 30, "more": False},
    "always more": {"more": True},
    "always more, last page repeated": {"more": True, "repeats_last_page": True},
    "never more": {"more": False},
    "short pages": {"largest_page": 30},
    "short pages, capped": {"largest_page": 30, "cap": 90},
    "type filters ignored": {"ignored": ("resource_type", "event_type")},
    "newest first": {"order": "desc"},
}
REFUSED_QUIRKS = {
    f"bounds {hours} hours off": {"shift": timedelta(hours=hours)} for hours in (-24, -5, -2, 2, 5, 5.75, 24)
} | {
    "bounds 36 seconds off": {"shift": timedelta(seconds=36)},
    "bounds 36 seconds off, backwards": {"shift": timedelta(seconds=-36)},
    "bounds 2 seconds off": {"shift": timedelta(seconds=-2)},
    "local time labelled Z": {"shown": lambda at: at + timedelta(hours=5)},
    "bounds ignored": {"is_blind": True},
}


@pytest.mark.parametrize("quirk", HANDLED_QUIRKS)
@pytest.mark.parametrize("count", [3, 1500])
def test_a_handled_quirk_refuses_no_day_and_takes_few_requests(quirk: str, count: int) -> None:
    api = QuirkyApi(rows_over_five_days(count), **HANDLED_QUIRKS[quirk])  # type: ignore[arg-type]
    assert all(api.proved_days())
    assert api.requests < 20 + 8 * count / api.largest_page


@pytest.mark.parametrize("quirk", REFUSED_QUIRKS)
@pytest.mark.parametrize("count", [40, 1500])
def test_times_that_disagree_refuse_every_day(quirk: str, count: int) -> None:
    api = QuirkyApi(rows_over_five_days(count), **REFUSED_QUIRKS[quirk])  # type: ignore[arg-type]
    assert not any(api.proved_days())
    error = api.day(DAYS[0], Evidence())
    assert isinstance(error, TimesDisagree)
    assert "Topo's time filter and its timestamps disagree" in str(error)
    assert api.requests < 100 + 8 * count / 100


def test_the_error_says_by_how_much_times_disagree() -> None:
    error = QuirkyApi(rows_over_five_days(1500), shift=timedelta(hours=5)).day(DAYS[0], Evidence())
    assert "disagree by 4 h 5" in str(error)


def test_a_difference_of_seconds_is_shown_in_seconds() -> None:
    """A row 20.3 s after the day is shown, but only 3 s after the day were requested."""
    api = QuirkyApi(rows_at([43_200.3, 86_420.3]), shift=timedelta(seconds=36))
    assert "disagree by 17.3 s or more" in str(api.day(DAYS[0], Evidence()))


def test_a_row_removed_before_a_day_with_rounded_times_is_read_again_is_not_in_that_day() -> None:
    """The first reading is passed on in parts, and one row is on the bound that the next day shares."""
    rows = rows_at([-30.0, 0.0, 43_200.0, 86_400.0, *(minute * 60.0 for minute in range(1, 600))])
    gone = rows[2:4]

    class LosingApi(QuirkyApi):
        async def activities(self, query: ActivityQuery) -> ActivityPage:
            assert query.created_at_before
            if query.created_at_before - (query.created_at_after or VERY_EARLY) > DAY + timedelta(minutes=1):
                self.rows = [row for row in self.rows if row not in gone]
            return await super().activities(query)

    api, evidence = LosingApi(rows, shown=rounded(timedelta(minutes=1), timedelta(0))), Evidence()
    assert gone[0].id not in cast(set[str], api.day(DAYS[0], evidence))
    assert api.day(DAYS[1], evidence) == set()


@pytest.mark.parametrize(("cap", "page", "hides"), [(100, 100, True), (100, 100, False), (130, 65, False)])
def test_a_second_with_more_rows_than_the_cap_is_refused(cap: int, page: int, hides: bool) -> None:
    """A filter selects the types of a hundred rows. Fifty more have other types."""
    types = KNOWN * 20 + UNKNOWN * 25
    api = QuirkyApi(rows_at([36_000.3] * len(types), types), cap=cap, largest_page=page, hides=hides)
    assert isinstance(api.day(DAYS[0], Evidence()), IncompleteWindow)


_units = st.sampled_from([1, 2, 3, 7, 10, 12, 60, 90, 300, 1800, 3600])
_shown = st.one_of(
    st.just(exact),
    st.builds(
        lambda unit, part: rounded(timedelta(seconds=unit), unit * timedelta(seconds=part)), _units, st.floats(0, 0.999)
    ),
    st.builds(lambda seconds: lambda at: at + timedelta(seconds=seconds), st.integers(-90_000, 90_000)),
)
_shift = st.one_of(st.just(0.0), st.floats(-4, 4), st.sampled_from([-86_400.0, -18_000, -36, 36, 7200, 86_400]))
_seconds = st.lists(
    st.one_of(
        st.floats(-86_400, 4 * 86_400),
        st.builds(lambda day, near: day * 86_400.0 + near, st.integers(-1, 4), st.floats(-5, 5)),
        st.builds(lambda minute: minute * 60.0, st.integers(-1440, 4 * 1440)),
    ),
    max_size=30,
)


_quirks = st.builds(
    QuirkyApi,
    rows=st.builds(rows_at, _seconds),
    shown=_shown,
    shift=st.builds(lambda seconds: timedelta(seconds=seconds), _shift),
    # Reported caps are multiples of a page. With pages of four, a few rows are many pages.
    cap=st.sampled_from([None, None, 8, 16]),
    largest_page=st.just(4),
    more=st.sampled_from([None, None, True, False]),
    order=st.sampled_from(["asc", "desc", ""]),
    hides=st.booleans(),
    repeats_last_page=st.booleans(),
    is_blind=st.sampled_from([False, False, False, True]),
)


def _most_rows_in_a_second(api: QuirkyApi) -> int:
    return max(Counter(api.shown(row.at).replace(microsecond=0) for row in api.rows).values(), default=0)


@settings(max_examples=120)
@given(_quirks)
def test_no_quirk_makes_a_proved_day_incomplete(api: QuirkyApi) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "SMALLEST_CAP", 8)
        if api.cap and _most_rows_in_a_second(api) >= api.cap:
            return  # no request distinguishes a capped count from this many rows in one second
        api.proved_days()
    assert api.requests < 1500
