"""If only two adjacent days together show that times disagree, neither is proved."""

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
    """The time that the filter uses, if it differs."""

    @property
    def item(self) -> dict[str, Any]:
        return item_of(self.number, self.shown.isoformat(), channel="EMAIL")


class TwoTimesApi(PagedApi):
    """Rows that the filter may select by another time than the one that is shown."""

    def __init__(self, *rows: Row) -> None:
        super().__init__([])
        self.rows = rows

    async def answer(self, request: Request) -> Answer:
        if not request.path.endswith("/activities"):
            return Answer({"status_code": 404, "type": "NotFoundIssue", "message": "no"}, 404)
        after, before = (datetime.fromisoformat(request.params[f"created_at_{bound}"]) for bound in ("after", "before"))
        self.items = [row.item for row in self.rows if after < (row.filtered or row.shown) < before]
        params = dict(request.params) | {"created_at_after": VERY_EARLY, "created_at_before": VERY_LATE}
        return await super().answer(Request(request.path, params, request.headers, request.peer))


VERY_EARLY, VERY_LATE = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"


def matching_rows() -> list[Row]:
    hours = [FIRST + timedelta(hours=5 * n, milliseconds=7) for n in range(19)]
    return [Row(number, hour) for number, hour in enumerate(hours)]


def load(
    folder: Path, *unusual: Row, api: type[TwoTimesApi] = TwoTimesApi, **options: Any
) -> tuple[dict[date, Load | Refusal], dict[date, bool]]:
    warehouse = Warehouse(str(folder / "w.duckdb"))
    options = {"run_id": "r", "clock": lambda: NOW, "timezone": "UTC", "label_channels": False} | options
    with serve(api(*matching_rows(), *unusual)) as address:
        outcomes = {o.day: o for o in load_days(lambda: client_of(address), warehouse, DAYS, **options)}
    return outcomes, dict(ask(warehouse, "SELECT day, proved FROM landed_days"))


def at(day: int, **time: float) -> datetime:
    return FIRST + timedelta(days=day, **time)


ROWS_SEEN_ONLY_BY_THE_WRONG_DAY: dict[str, Row] = {
    "shown rounded up to the next day": Row(100, at(2), at(2) - timedelta(seconds=20)),
    "filtered a few seconds late": Row(100, at(2) - timedelta(seconds=1.5), at(2) + timedelta(seconds=3.5)),
}


@pytest.mark.parametrize("kind", ROWS_SEEN_ONLY_BY_THE_WRONG_DAY)
def test_a_row_that_only_the_wrong_day_received_is_detected(kind: str, tmp_path: Path) -> None:
    outcomes, proved = load(tmp_path, ROWS_SEEN_ONLY_BY_THE_WRONG_DAY[kind])
    second, third = DAYS[1].day, DAYS[2].day
    outcome = outcomes[third]
    assert isinstance(outcome, Refusal)
    assert DISAGREE in outcome.reason
    assert (proved[second], third in proved) == (False, False)


def test_the_day_after_a_day_with_disagreeing_times_is_not_proved(tmp_path: Path) -> None:
    unusual = Row(100, at(2, minutes=30), at(1, hours=22))  # shown two hours late, in the next day
    outcomes, proved = load(tmp_path, unusual)
    assert [isinstance(outcome, Refusal) for outcome in outcomes.values()] == [False, True, True, False]
    assert proved == {DAYS[0].day: False, DAYS[3].day: True}
    outcomes, proved = load(tmp_path, unusual, completeness="warn")
    assert [isinstance(outcome, UnprovedLoad) for outcome in outcomes.values()] == [False, True, True, False]
    assert [day for day, is_proved in proved.items() if is_proved] == [DAYS[3].day]


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC), marks=pytest.mark.full),
        datetime(9999, 12, 31, 23, 59, 58, tzinfo=UTC),
    ],
    ids=["year 1", "year 9999"],
)
def test_a_time_in_another_century_is_named(moment: datetime, tmp_path: Path) -> None:
    outcomes, _ = load(tmp_path, Row(100, moment, at(1, hours=3)))
    outcome = outcomes[DAYS[1].day]
    assert isinstance(outcome, Refusal)
    assert DISAGREE in outcome.reason
    assert moment.isoformat() in outcome.reason


def test_an_unreadable_row_with_a_time_of_another_day_refuses_the_day(tmp_path: Path) -> None:
    class WithoutPayload(TwoTimesApi):
        async def answer(self, request: Request) -> Answer:
            answer = await super().answer(request)
            for item in answer.body.get("items", []):
                if item["id"].endswith("64"):
                    item["payload"] = None
            return answer

    outcomes, _ = load(tmp_path, Row(100, at(-9), at(1, hours=3)), api=WithoutPayload)
    outcome = outcomes[DAYS[1].day]
    assert isinstance(outcome, Refusal)
    assert DISAGREE in outcome.reason


def test_a_late_row_is_not_a_disagreement_of_times(tmp_path: Path) -> None:
    class LateRow(TwoTimesApi):
        """A row in the second day's last second, added when the third day is requested."""

        async def answer(self, request: Request) -> Answer:
            if request.params.get("created_at_before", "").startswith("2026-03-04T00:00:03"):
                self.rows = (*matching_rows(), Row(100, at(2) - timedelta(seconds=0.5)))
            return await super().answer(request)

    _, proved = load(tmp_path, api=LateRow)
    assert proved == {day.day: True for day in DAYS}
