"""When the contract check runs by itself, what it is kept as, and that no load depends on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from topo_pipeline.days import Day, Window
from topo_pipeline.ingest import first_contact
from topo_pipeline.ingest.first_contact import is_first_contact, keep, latest_summary
from topo_pipeline.ingest.loading import Refusal, load_days
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.quirks import Quirks
from topo_pipeline.sandbox.server import serve
from topo_pipeline.sandbox.world import World
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.contract import ASSUMPTIONS, ContractResult, summary
from topo_pipeline.topo_api.contract_facts import REQUEST_LIMIT
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.contract_checks import StoredResult, latest_contract_check
from topo_pipeline.warehouse.landing import Load

NOW = datetime(2026, 1, 21, 15, tzinfo=UTC)
WORLD = World(11, scale=0.1)
KEY = "topo_first_contact"


class Clock:
    """A clock that is a second later each time."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@contextmanager
def clients_of(**options: Any) -> Iterator[tuple[Callable[[], TopoClient], list[TopoClient]]]:
    """What makes clients, and those that it made."""
    made: list[TopoClient] = []
    options = {"world": WORLD, "api_key": KEY, "now": lambda: NOW} | options
    with serve(create_app(**options)) as address:

        def connect() -> TopoClient:
            made.append(TopoClient(f"{address}/v1", KEY, requests_per_second=10_000, clock=lambda: NOW))
            return made[-1]

        yield connect, made


def day(number: int) -> Day:
    start = datetime(2026, 1, number, tzinfo=UTC)
    return Day(start.date(), Window(start, start + timedelta(days=1)))


def load(warehouse: Warehouse, *days: int, checks: bool | None = True, **options: Any) -> tuple[list[Any], int]:
    """Load days; return what became of them, and how many requests were sent."""
    with clients_of(**options) as (connect, made):
        outcomes = list(
            load_days(
                connect,
                warehouse,
                [day(number) for number in days],
                run_id="r",
                clock=Clock(),
                timezone="UTC",
                checks_contract=checks,
            )
        )
        return outcomes, sum(client.requests for client in made)


def checks_of(warehouse: Warehouse) -> list[tuple[datetime, int]]:
    """When checks were made, and how many assumptions each has."""
    with warehouse.reader() as connection:
        return connection.execute(
            "SELECT checked_at, count(*) FROM topo.contract_checks GROUP BY ALL ORDER BY ALL"
        ).fetchall()


def latest(warehouse: Warehouse) -> list[StoredResult]:
    with warehouse.reader() as connection:
        found = latest_contract_check(connection)
    assert found
    return found[1]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "topo.duckdb"))


def test_the_first_day_of_a_new_warehouse_is_followed_by_the_check_and_no_other_day_is(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="topo_pipeline")
    outcomes, requests = load(warehouse, 13, 14, 15)
    assert [type(outcome) for outcome in outcomes] == [Load] * 3
    [(checked_at, assumptions)] = checks_of(warehouse)
    assert assumptions == len(ASSUMPTIONS)
    assert outcomes[0].finished_at < checked_at < outcomes[1].started_at
    assert requests <= sum(outcome.requests for outcome in outcomes) + 1 + REQUEST_LIMIT  # one for /me
    assert [record.levelname for record in caplog.records if "assumptions hold" in record.message] == ["INFO"]
    load(warehouse, 16)
    assert len(checks_of(warehouse)) == 1


def test_an_api_on_this_machine_is_not_checked_so_that_only_the_days_own_requests_count(warehouse: Warehouse) -> None:
    outcomes, requests = load(warehouse, 13, checks=None)
    assert requests <= outcomes[0].requests + 1
    assert checks_of(warehouse) == []


def test_an_api_elsewhere_is() -> None:
    clients = [TopoClient(url, KEY, clock=lambda: NOW) for url in ("https://api.topo.io/v1", "http://127.0.0.1:9/v1")]
    assert [client.is_loopback for client in clients] == [False, True]


def test_a_day_without_activities_shows_nothing_so_the_check_waits_for_one_that_has_some(warehouse: Warehouse) -> None:
    start = datetime.combine(WORLD.starts - timedelta(days=3), time(), UTC)
    empty = Day(start.date(), Window(start, start + timedelta(days=1)))
    with clients_of() as (connect, _):
        outcomes = load_days(
            connect, warehouse, [empty], run_id="r", clock=Clock(), timezone="UTC", checks_contract=True
        )
        assert [outcome.rows for outcome in outcomes if isinstance(outcome, Load)] == [0]
    assert checks_of(warehouse) == []
    assert is_first_contact(warehouse)
    load(warehouse, 13)
    assert len(checks_of(warehouse)) == 1
    assert not is_first_contact(warehouse)


def test_a_first_day_that_is_refused_is_checked_too_since_the_check_says_why(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes, _ = load(warehouse, 13, quirks=Quirks(shown_shift_seconds=12 * 3600))
    assert [type(outcome) for outcome in outcomes] == [Refusal]
    assert [result.assumption for result in latest(warehouse) if result.refuses_days] == [ASSUMPTIONS[0].name]
    assert [record.levelname for record in caplog.records if "assumptions hold" in record.message] == ["WARNING"]


def test_a_check_that_fails_is_no_reason_to_end_a_load(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> list[ContractResult]:
        raise ZeroDivisionError("a secret of the workspace")

    monkeypatch.setattr(first_contact, "check_contract", fails)
    outcomes, _ = load(warehouse, 13, 14)
    assert [type(outcome) for outcome in outcomes] == [Load] * 2
    assert checks_of(warehouse) == []
    assert "contract check failed (ZeroDivisionError). Run topo-pipeline doctor --contract" in caplog.text
    assert "a secret" not in caplog.text


def results(*outcomes: Any) -> list[ContractResult]:
    return [ContractResult(f"assumption {n}", outcome, "seen", "so", False) for n, outcome in enumerate(outcomes)]


def test_each_check_is_kept_and_the_latest_one_is_shown(warehouse: Warehouse) -> None:
    assert keep(warehouse, results("holds", "differs"), NOW)
    assert keep(warehouse, results("differs"), NOW + timedelta(days=1))
    assert [count for _, count in checks_of(warehouse)] == [2, 1]
    assert [(result.assumption, result.outcome) for result in latest(warehouse)] == [("assumption 0", "differs")]


def test_a_check_that_found_no_activity_does_not_take_the_place_of_one_that_did(warehouse: Warehouse) -> None:
    keep(warehouse, results("holds"), NOW)
    assert not keep(warehouse, results("unknown", "unknown"), NOW + timedelta(days=1))
    assert [result.outcome for result in latest(warehouse)] == ["holds"]


def test_only_a_check_since_then_is_summed_up(warehouse: Warehouse) -> None:
    warehouse.prepare()
    assert latest_summary(warehouse, NOW) is None
    found = results("holds", "differs")
    keep(warehouse, found, NOW)
    assert latest_summary(warehouse, NOW + timedelta(seconds=1)) is None
    sentence = latest_summary(warehouse, NOW)
    assert sentence
    assert summary(found) in sentence
