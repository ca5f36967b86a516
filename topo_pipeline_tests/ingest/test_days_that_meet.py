"""Where times disagree in a way that only two neighbouring days show together, neither is called proved."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.days import Day, Window
from topo_pipeline.ingest.loading import Refusal, UnprovedLoad, load_days
from topo_pipeline.sandbox.server import serve
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.topo_api.helpers import NOW, Answer, PagedApi, Request, client_of, item_of
from topo_pipeline_tests.warehouse.builders import ask

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = [Day((FIRST + n * DAY).date(), Window(FIRST + n * DAY, FIRST + (n + 1) * DAY)) for n in range(4)]
DISAGREE = "Topo's time filter and its timestamps disagree"


@dataclass(frozen=True)
class Row:
    number: int
    shown: datetime
    filtered: datetime | None = None
    """The time that the filter works on, where it is another one."""

    @property
    def item(self) -> dict[str, Any]:
        return item_of(self.number, self.shown.isoformat(), channel="EMAIL")


class TwoTimes(PagedApi):
    """Rows whose filter may work on another time than the one that is shown."""

    def __init__(self, *rows: Row) -> None:
        super().__init__([])
        self.rows = rows

    async def answer(self, request: Request) -> Answer:
        if not request.path.endswith("/activities"):
            return Answer({"status_code": 404, "type": "NotFoundIssue", "message": "no"}, 404)
        after, before = (datetime.fromisoformat(request.params[f"created_at_{bound}"]) for bound in ("after", "before"))
        self.items = [row.item for row in self.rows if after < (row.filtered or row.shown) < before]
        asked = dict(request.params) | {"created_at_after": LONG_AGO, "created_at_before": MUCH_LATER}
        return await super().answer(Request(request.path, asked, request.headers, request.peer))


LONG_AGO, MUCH_LATER = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"


def ordinary() -> list[Row]:
    hours = [FIRST + timedelta(hours=5 * n, milliseconds=7) for n in range(19)]
    return [Row(number, hour) for number, hour in enumerate(hours)]


def load(folder: Path, *odd: Row, **options: Any) -> tuple[dict[date, Load | Refusal], dict[date, bool]]:
    warehouse = Warehouse(str(folder / "w.duckdb"))
    options = {"run_id": "r", "clock": lambda: NOW, "timezone": "UTC", "label_channels": False} | options
    with serve(TwoTimes(*ordinary(), *odd)) as address:
        outcomes = {o.day: o for o in load_days(lambda: client_of(address), warehouse, DAYS, **options)}
    return outcomes, dict(ask(warehouse, "SELECT day, proved FROM landed_days"))


def at(day: int, **time: float) -> datetime:
    return FIRST + timedelta(days=day, **time)


ODD: dict[str, Row] = {
    "rounded into the next day": Row(100, at(2), at(2) - timedelta(seconds=20)),
    "filtered a few seconds late": Row(100, at(2) - timedelta(seconds=1.5), at(2) + timedelta(seconds=3.5)),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_row_that_only_the_wrong_day_received_is_found(kind: str, tmp_path: Path) -> None:
    outcomes, proved = load(tmp_path, ODD[kind])
    second, third = DAYS[1].day, DAYS[2].day
    told = outcomes[third]
    assert isinstance(told, Refusal)
    assert DISAGREE in told.reason
    assert (proved[second], third in proved) == (False, False)


def test_the_day_after_one_whose_times_disagree_is_not_proved_either(tmp_path: Path) -> None:
    odd = Row(100, at(2, minutes=30), at(1, hours=22))  # shown two hours late, in the next day
    outcomes, proved = load(tmp_path, odd)
    assert [isinstance(outcome, Refusal) for outcome in outcomes.values()] == [False, True, True, False]
    assert proved == {DAYS[0].day: False, DAYS[3].day: True}
    outcomes, proved = load(tmp_path, odd, completeness="warn")
    assert [isinstance(outcome, UnprovedLoad) for outcome in outcomes.values()] == [False, True, True, False]
    assert [day for day, is_proved in proved.items() if is_proved] == [DAYS[3].day]


@pytest.mark.parametrize(
    "moment",
    [datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 58, tzinfo=UTC)],
    ids=["year 1", "year 9999"],
)
def test_an_instant_that_is_centuries_off_is_named(moment: datetime, tmp_path: Path) -> None:
    outcomes, _ = load(tmp_path, Row(100, moment, at(1, hours=3)))
    told = outcomes[DAYS[1].day]
    assert isinstance(told, Refusal)
    assert DISAGREE in told.reason
    assert moment.isoformat() in told.reason


def test_an_unreadable_row_that_shows_another_day_is_not_left_out_in_silence(tmp_path: Path) -> None:
    class Odd(TwoTimes):
        async def answer(self, request: Request) -> Answer:
            answer = await super().answer(request)
            for item in answer.body.get("items", []):
                if item["id"].endswith("64"):
                    item["payload"] = None
            return answer

    row = Row(100, at(-9), at(1, hours=3))
    make: Callable[..., TwoTimes] = Odd
    warehouse = Warehouse(str(tmp_path / "w.duckdb"))
    with serve(make(*ordinary(), row)) as address:
        outcomes = list(
            load_days(lambda: client_of(address), warehouse, DAYS, run_id="r", clock=lambda: NOW, timezone="UTC")
        )
    assert isinstance(outcomes[1], Refusal)
    assert DISAGREE in outcomes[1].reason


def test_a_row_that_came_late_is_no_disagreement(tmp_path: Path) -> None:
    class Late(TwoTimes):
        """A row of the second day's last second, recorded once the third day is asked for."""

        async def answer(self, request: Request) -> Answer:
            if request.params.get("created_at_before", "").startswith("2026-03-04T00:00:03"):
                self.rows = (*ordinary(), Row(100, at(2) - timedelta(seconds=0.5)))
            return await super().answer(request)

    warehouse = Warehouse(str(tmp_path / "w.duckdb"))
    with serve(Late(*ordinary())) as address:
        outcomes = list(
            load_days(lambda: client_of(address), warehouse, DAYS, run_id="r", clock=lambda: NOW, timezone="UTC")
        )
    assert [isinstance(outcome, Load) and outcome.proved for outcome in outcomes] == [True] * 4
