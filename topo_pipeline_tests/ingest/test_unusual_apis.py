"""If the API differs from the contract, a day holds the right rows or is refused with the reason."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.days import Day, Window
from topo_pipeline.ingest.loading import Refusal, UnprovedLoad, load_days
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.quirks import Quirks
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.sandbox.differences import EXAMPLES
from topo_pipeline_tests.warehouse.builders import ask, records

KEY = "topo_unusual_0123"
NOW = datetime(2026, 1, 21, 15, tzinfo=UTC)
WORLD = World(scale=0.15)
DAYS = [date(2026, 1, 13), date(2026, 1, 14), date(2026, 1, 15)]
DISAGREE, COUNTS, CLOCKS = "Topo's time filter and its timestamps disagree", "Topo counts", "This machine's clock says"
REFUSED = {
    "bounds read two hours east": DISAGREE,
    "bounds read five hours west": DISAGREE,
    "bounds off by ten seconds": DISAGREE,
    "times shown two hours east": DISAGREE,
    "times shown five hours west": DISAGREE,
    "count too high": COUNTS,
    "count too low": COUNTS,
    "clock ahead": CLOCKS,
    "clock behind": CLOCKS,
}
AGE = 16 * 3600
"""In seconds. Longer than the time since midnight."""
SMALLER: dict[str, Quirks] = {"count capped": replace(EXAMPLES["count capped"], count_cap=100)}
TOGETHER = {"has_more always true, error after the last page": Quirks(has_more="always", after_last_page="error")}
# One example of each kind of difference: times, counts, clocks, order, pages, filters and missing parts. The others
# take the same path from a window to the warehouse, and `make test-all` has them. topo_api/test_quirks reads windows
# with all differences of times, counts, order and pages.
REPRESENTATIVE = {
    *("bounds off by ten seconds", "times shown rounded to the minute", "count capped", "count too high"),
    *("clock ahead", "clock behind", "unsorted", "50 rows a page", "event filter ignored", "channel filter ignored"),
    *("unlisted types", "no step numbers", "/me missing", *TOGETHER),
}


def each(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.full] * (name not in REPRESENTATIVE)) for name in names]


def window(day: date) -> Window:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Window(start, start + timedelta(days=1))


def load(
    folder: Path, quirks: Quirks, *days: date, wrap: Callable[[Any], Any] = lambda app: app, **options: Any
) -> tuple[Warehouse, list[Load | Refusal]]:
    warehouse = Warehouse(str(folder / "topo.duckdb"))
    options = {"run_id": "r", "clock": lambda: NOW, "timezone": "UTC"} | options
    with serve(wrap(create_app(WORLD, api_key=KEY, now=lambda: NOW, quirks=quirks))) as address:

        def connect() -> TopoClient:
            return TopoClient(f"{address}/v1", KEY, requests_per_second=10_000, clock=options["clock"])

        return warehouse, list(load_days(connect, warehouse, [Day(day, window(day)) for day in days], **options))


def expected_rows(quirks: Quirks, days: list[date]) -> set[tuple[date, str]]:
    """Return the days' activities, by the times that are shown."""
    shown = [
        (quirks.shown(activity.created_at).date(), activity.id)
        for activity in WORLD.activities(datetime(2026, 1, 12, tzinfo=UTC), datetime(2026, 1, 17, tzinfo=UTC))
    ]
    return {(day, id_) for day, id_ in shown if day in days}


@pytest.mark.parametrize("days", [DAYS[1:2], pytest.param(DAYS, marks=pytest.mark.full)], ids=["one day", "three days"])
@pytest.mark.parametrize("name", each(EXAMPLES | TOGETHER))
def test_each_day_holds_its_rows_or_is_refused_with_the_reason(name: str, days: list[date], tmp_path: Path) -> None:
    quirks = (EXAMPLES | SMALLER | TOGETHER)[name]
    warehouse, outcomes = load(tmp_path, quirks, *days)
    assert len(outcomes) == len(days)
    if name in REFUSED:
        assert all(isinstance(outcome, Refusal) and REFUSED[name] in outcome.reason for outcome in outcomes), outcomes
        return
    assert [outcome.proved for outcome in outcomes if isinstance(outcome, Load)] == [True] * len(days), outcomes
    landed = {(row["day"], str(row["id"])) for row in records(warehouse, "topo.activities")}
    assert landed == expected_rows(quirks, days)
    is_capped = ask(warehouse, "SELECT DISTINCT count_capped, api_total_count >= rows FROM topo.loads")
    assert is_capped == [(name == "count capped", True)]


def test_every_named_difference_is_an_example() -> None:
    assert REFUSED.keys() | REPRESENTATIVE <= EXAMPLES.keys() | TOGETHER.keys()


def test_with_completeness_warn_unproved_days_say_that_times_disagree(tmp_path: Path) -> None:
    _, [outcome] = load(tmp_path, EXAMPLES["bounds read five hours west"], DAYS[1], completeness="warn")
    assert isinstance(outcome, UnprovedLoad)
    assert DISAGREE in outcome.because


@pytest.mark.parametrize("completeness", ["refuse", pytest.param("warn", marks=pytest.mark.full)])
def test_the_days_next_to_a_day_with_disagreeing_times_are_no_longer_proved(completeness: str, tmp_path: Path) -> None:
    warehouse, _ = load(tmp_path, Quirks(), *[DAYS[0] + timedelta(days=n) for n in range(4)])
    load(tmp_path, EXAMPLES["bounds read five hours west"], DAYS[1], completeness=completeness)
    proved = dict(ask(warehouse, "SELECT day, proved FROM topo.loads ORDER BY finished_at"))
    assert proved == {
        DAYS[0]: False,
        DAYS[1]: completeness == "refuse",  # its landed rows are kept
        DAYS[2]: False,
        DAYS[2] + timedelta(days=1): True,
    }


def test_a_clock_that_is_ahead_does_not_close_an_unfinished_day(tmp_path: Path) -> None:
    midnight = datetime(2026, 1, 21, tzinfo=UTC)
    topo_says_midnight = Quirks(clock_ahead_seconds=int((midnight - NOW).total_seconds()))
    days = date(2026, 1, 20), midnight.date()
    _, outcomes = load(tmp_path, topo_says_midnight, *days, clock=lambda: midnight + timedelta(minutes=14))
    loads = [outcome for outcome in outcomes if isinstance(outcome, Load)]
    assert [load.is_open for load in loads] == [True, True]
    assert all(load.asked_before < midnight for load in loads[:1])
    _, [later] = load(tmp_path, Quirks(), days[0])
    assert isinstance(later, Load)
    assert not later.is_open


def test_a_cached_response_does_not_close_a_day(tmp_path: Path) -> None:
    def cached(app: Any) -> Any:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            async def aged(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    message = {**message, "headers": [*message["headers"], (b"age", b"%d" % AGE)]}
                await send(message)

            await app(scope, receive, aged)

        return answer

    _, [kept] = load(tmp_path, Quirks(), date(2026, 1, 20), wrap=cached)
    assert isinstance(kept, Load)
    assert kept.is_open
