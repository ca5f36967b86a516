"""The contract check that runs after the first day of a new warehouse: when it runs, and what it stores."""

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
    """A clock that advances by a second at each call."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@contextmanager
def connecting(**options: Any) -> Iterator[tuple[Callable[[], TopoClient], list[TopoClient]]]:
    """Yield a function that creates clients, and the list of those it created."""
    clients: list[TopoClient] = []
    options = {"world": WORLD, "api_key": KEY, "now": lambda: NOW} | options
    with serve(create_app(**options)) as address:

        def connect() -> TopoClient:
            clients.append(TopoClient(f"{address}/v1", KEY, requests_per_second=10_000, clock=lambda: NOW))
            return clients[-1]

        yield connect, clients


def day(number: int) -> Day:
    start = datetime(2026, 1, number, tzinfo=UTC)
    return Day(start.date(), Window(start, start + timedelta(days=1)))


def load(warehouse: Warehouse, *days: int, checks: bool | None = True, **options: Any) -> tuple[list[Any], int]:
    """Load days. Return their outcomes and the number of requests."""
    with connecting(**options) as (connect, clients):
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
        return outcomes, sum(client.requests for client in clients)


def checks_of(warehouse: Warehouse) -> list[tuple[datetime, int]]:
    """Return the time of each check and the number of its assumptions."""
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


def test_the_check_runs_once_after_the_first_day_of_a_new_warehouse(
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


def test_an_api_on_loopback_is_not_checked(warehouse: Warehouse) -> None:
    outcomes, requests = load(warehouse, 13, checks=None)
    assert requests <= outcomes[0].requests + 1
    assert checks_of(warehouse) == []


def test_only_an_api_on_this_machine_is_loopback() -> None:
    clients = [TopoClient(url, KEY, clock=lambda: NOW) for url in ("https://api.topo.io/v1", "http://127.0.0.1:9/v1")]
    assert [client.is_loopback for client in clients] == [False, True]


def test_the_check_waits_for_a_day_with_activities(warehouse: Warehouse) -> None:
    start = datetime.combine(WORLD.starts - timedelta(days=3), time(), UTC)
    empty = Day(start.date(), Window(start, start + timedelta(days=1)))
    with connecting() as (connect, _):
        outcomes = load_days(
            connect, warehouse, [empty], run_id="r", clock=Clock(), timezone="UTC", checks_contract=True
        )
        assert [outcome.rows for outcome in outcomes if isinstance(outcome, Load)] == [0]
    assert checks_of(warehouse) == []
    assert is_first_contact(warehouse)
    load(warehouse, 13)
    assert len(checks_of(warehouse)) == 1
    assert not is_first_contact(warehouse)


def test_a_refused_first_day_is_checked_too(warehouse: Warehouse, caplog: pytest.LogCaptureFixture) -> None:
    outcomes, _ = load(warehouse, 13, quirks=Quirks(shown_shift_seconds=12 * 3600))
    assert [type(outcome) for outcome in outcomes] == [Refusal]
    assert [result.assumption for result in latest(warehouse) if result.refuses_days] == [ASSUMPTIONS[0].name]
    assert [record.levelname for record in caplog.records if "assumptions hold" in record.message] == ["WARNING"]


def test_a_failed_check_does_not_end_the_load(
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


def test_all_checks_are_kept_and_the_latest_is_shown(warehouse: Warehouse) -> None:
    assert keep(warehouse, results("holds", "differs"), NOW)
    assert keep(warehouse, results("differs"), NOW + timedelta(days=1))
    assert [count for _, count in checks_of(warehouse)] == [2, 1]
    assert [(result.assumption, result.outcome) for result in latest(warehouse)] == [("assumption 0", "differs")]


def test_a_check_without_activities_does_not_replace_one_with_activities(warehouse: Warehouse) -> None:
    keep(warehouse, results("holds"), NOW)
    assert not keep(warehouse, results("unknown", "unknown"), NOW + timedelta(days=1))
    assert [result.outcome for result in latest(warehouse)] == ["holds"]


def test_only_a_check_after_the_given_time_is_summarized(warehouse: Warehouse) -> None:
    warehouse.prepare()
    assert latest_summary(warehouse, NOW) is None
    found = results("holds", "differs")
    keep(warehouse, found, NOW)
    assert latest_summary(warehouse, NOW + timedelta(seconds=1)) is None
    sentence = latest_summary(warehouse, NOW)
    assert sentence
    assert summary(found) in sentence
