"""Whatever constant quirk an API has: a day that is proved holds every activity of the day, or it is refused."""

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
from topo_pipeline_tests.topo_api.worlds import KNOWN, START, UNKNOWN, Row, is_selected

DAY = timedelta(days=1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
DAYS = [Window(START + number * DAY, START + (number + 1) * DAY) for number in range(3)]


def exact(at: datetime) -> datetime:
    return at


def rounded(unit: timedelta, by: timedelta) -> Callable[[datetime], datetime]:
    """Round down to a multiple of `unit`, after adding `by`."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return lambda at: epoch + (at + by - epoch) // unit * unit


@dataclass
class Quirky:
    """An API that differs from the contract in the same way at every request.

    Attributes:
        rows: What there is, by its true time.
        shown: The time that is shown of a row.
        shift: Added to the bounds that are asked for.
        cap: No count is greater.
        more: What `has_more` says, where it is not true to the pages.
        largest_page: Rows of a page at most.
        is_blind: Whether the bounds are ignored.
        ignored: Type filters that are ignored.
        repeats_last_page: Whether a page after the last one holds that once more, and not nothing.
        hides: Whether what a cap leaves out of the count is on no page.
        order: In which rows come, whatever is asked for; empty where it is as asked for.
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
        after, before = (query.created_at_after or LONG_AGO) + self.shift, query.created_at_before + self.shift
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

    def is_right(self) -> list[bool]:
        """Read the days in order, as a run does; of each, whether it was proved. Fails where one is proved wrongly."""
        evidence, outcomes = Evidence(), []
        for window in DAYS:
            got = self.day(window, evidence)
            outcomes.append(isinstance(got, set))
            if isinstance(got, EchoMissing):  # ends the run
                return outcomes + [False] * (len(DAYS) - len(outcomes))
            if isinstance(got, set):
                assert got == {row.id for row in self.rows if self.shown(row.at) in window}
        return outcomes


def world(seconds: list[float], types: tuple[str, ...] = KNOWN) -> list[Row]:
    return [Row(n, START + timedelta(seconds=at), types[n % len(types)]) for n, at in enumerate(seconds)]


def busy(count: int) -> list[Row]:
    """So many rows over five days, the middle three of which are read."""
    return world([number * 432_000 / count - 86_400 + 0.3 for number in range(count)])


HANDLED = {
    "none": {},
    "a second rounded down": {"shown": rounded(timedelta(seconds=1), timedelta(0))},
    "a second rounded up": {"shown": rounded(timedelta(seconds=1), timedelta(seconds=0.999999))},
    "a minute rounded to the nearest": {"shown": rounded(timedelta(minutes=1), timedelta(seconds=30))},
    "an hour rounded down": {"shown": rounded(timedelta(hours=1), timedelta(0))},
    "seven seconds rounded down": {"shown": rounded(timedelta(seconds=7), timedelta(0))},
    "bounds a second late": {"shift": timedelta(seconds=1)},
    "capped": {"cap": 100},
    "capped with no more": {"cap": 200, "more": False},
    "capped, the last page again after the end": {"cap": 200, "repeats_last_page": True},
    "capped at no full page": {"cap": 250, "more": False},
    "capped at a power of two": {"cap": 128, "more": False},
    "capped, nothing beyond, and it says that there is": {"cap": 200, "hides": True},
    "capped, nothing beyond": {"cap": 200, "hides": True, "more": False},
    "capped, newest first": {"cap": 200, "order": "desc", "hides": True, "more": False},
    "capped, pages of thirty": {"cap": 100, "largest_page": 30, "more": False},
    "always more": {"more": True},
    "always more, the last page again after the end": {"more": True, "repeats_last_page": True},
    "never more": {"more": False},
    "short pages": {"largest_page": 30},
    "short pages, capped": {"largest_page": 30, "cap": 90},
    "type filters ignored": {"ignored": ("resource_type", "event_type")},
    "newest first": {"order": "desc"},
}
REFUSED = {
    f"bounds {hours} hours off": {"shift": timedelta(hours=hours)} for hours in (-24, -5, -2, 2, 5, 5.75, 24)
} | {
    "bounds 36 seconds off": {"shift": timedelta(seconds=36)},
    "bounds 36 seconds off, back": {"shift": timedelta(seconds=-36)},
    "bounds 2 seconds off": {"shift": timedelta(seconds=-2)},
    "local time labelled Z": {"shown": lambda at: at + timedelta(hours=5)},
    "bounds ignored": {"is_blind": True},
}


@pytest.mark.parametrize("quirk", HANDLED)
@pytest.mark.parametrize("count", [3, 40, 1500])
def test_a_quirk_that_can_be_handled_costs_no_day_and_few_requests(quirk: str, count: int) -> None:
    api = Quirky(busy(count), **HANDLED[quirk])  # type: ignore[arg-type]
    assert all(api.is_right())
    assert api.requests < 20 + 8 * count / api.largest_page


@pytest.mark.parametrize("quirk", REFUSED)
@pytest.mark.parametrize("count", [40, 1500])
def test_times_that_disagree_refuse_every_day_with_that_sentence(quirk: str, count: int) -> None:
    api = Quirky(busy(count), **REFUSED[quirk])  # type: ignore[arg-type]
    assert not any(api.is_right())
    error = api.day(DAYS[0], Evidence())
    assert isinstance(error, TimesDisagree)
    assert "Topo's time filter and its timestamps disagree" in str(error)
    assert api.requests < 100 + 8 * count / 100


def test_the_sentence_says_by_how_much_where_that_shows() -> None:
    error = Quirky(busy(1500), shift=timedelta(hours=5)).day(DAYS[0], Evidence())
    assert "disagree by 4 h 5" in str(error)


def test_a_shift_of_seconds_is_told_in_seconds() -> None:
    """Of the row 20.3 s after the day, 3 s of which were asked for."""
    api = Quirky(world([43_200.3, 86_420.3]), shift=timedelta(seconds=36))
    assert "disagree by 17.3 s or more" in str(api.day(DAYS[0], Evidence()))


def test_a_row_that_is_gone_when_a_day_of_rounded_times_is_read_again_is_not_of_that_day() -> None:
    """Of so many rows the first reading was handed over in parts; one stood on the bound that the next day shares."""
    rows = world([-30.0, 0.0, 43_200.0, 86_400.0, *(minute * 60.0 for minute in range(1, 600))])
    gone = rows[2:4]

    class Losing(Quirky):
        async def activities(self, query: ActivityQuery) -> ActivityPage:
            assert query.created_at_before
            if query.created_at_before - (query.created_at_after or LONG_AGO) > DAY + timedelta(minutes=1):
                self.rows = [row for row in self.rows if row not in gone]
            return await super().activities(query)

    api, evidence = Losing(rows, shown=rounded(timedelta(minutes=1), timedelta(0))), Evidence()
    assert gone[0].id not in cast(set[str], api.day(DAYS[0], evidence))
    assert api.day(DAYS[1], evidence) == set()


@pytest.mark.parametrize(("cap", "page", "hides"), [(100, 100, True), (100, 100, False), (130, 65, False)])
def test_a_second_of_more_rows_than_the_cap_is_refused_even_where_its_types_count_as_much(
    cap: int, page: int, hides: bool
) -> None:
    """A hundred rows are of types that a filter selects, and fifty more are of other types."""
    types = KNOWN * 20 + UNKNOWN * 25
    api = Quirky(world([36_000.3] * len(types), types), cap=cap, largest_page=page, hides=hides)
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
    Quirky,
    rows=st.builds(world, _seconds),
    shown=_shown,
    shift=st.builds(lambda seconds: timedelta(seconds=seconds), _shift),
    # Multiples of a page, as those that were reported; pages of four, so that a few rows are many pages.
    cap=st.sampled_from([None, None, 8, 16]),
    largest_page=st.just(4),
    more=st.sampled_from([None, None, True, False]),
    order=st.sampled_from(["asc", "desc", ""]),
    hides=st.booleans(),
    repeats_last_page=st.booleans(),
    is_blind=st.sampled_from([False, False, False, True]),
)


def _fullest_instant(api: Quirky) -> int:
    return max(Counter(api.shown(row.at).replace(microsecond=0) for row in api.rows).values(), default=0)


@settings(max_examples=400)
@given(_quirks)
def test_no_constant_quirk_makes_a_proved_day_lack_a_row(api: Quirky) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repair, "SMALLEST_CAP", 8)
        if api.cap and _fullest_instant(api) >= api.cap:
            return  # no request tells a capped count from as many rows of one second
        api.is_right()
    assert api.requests < 1500
