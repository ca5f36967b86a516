"""Re-executing a failed run keeps what it landed and reads only the rest."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from topo_pipeline.days import Day, Window
from topo_pipeline.defs.activities import landed_before
from topo_pipeline.defs.records import last_loads, recorded_days
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.defs.conftest import ACTIVITIES, DAILY, NOW, SETTINGS, Pipeline, days
from topo_pipeline_tests.warehouse.builders import DAY, LATER, NEXT_DAY, activity, land_into, noon, path_of, reading

RANGE = days(3)
BAD_DAY = RANGE[1]
GOOD_DAYS = [RANGE[0], RANGE[2]]
FAILURE, CANCELED, SUCCESS = (dg.DagsterRunStatus[name] for name in ("FAILURE", "CANCELED", "SUCCESS"))
_current: list[Pipeline] = []


def refresh() -> dg.JobDefinition:
    """Return the job, as Dagster reconstructs it for a re-execution."""
    return _current[-1].definitions.resolve_job_def("refresh")


def loads(pipeline: Pipeline) -> dict[str, date]:
    return {load: day for day, load in pipeline.rows("SELECT day, load_id::VARCHAR FROM topo.loads ORDER BY day")}


def re_execute(pipeline: Pipeline, run_id: str, options: dg.ReexecutionOptions) -> tuple[str, bool, list[date]]:
    """Re-execute a run's range as the UI does; return the new id, whether it succeeded, and the days it read."""
    before, parent = loads(pipeline), pipeline.instance.get_run_by_id(run_id)
    assert parent is not None
    tags = {name: value for name, value in parent.tags.items() if "range" in name}
    job, instance = dg.reconstructable(refresh), pipeline.instance
    result = dg.execute_job(job, instance, tags=tags, reexecution_options=options)
    return result.run_id, result.success, [day for load, day in loads(pipeline).items() if load not in before]


def statuses(pipeline: Pipeline) -> list[str]:
    found = pipeline.instance.get_status_by_partition(ACTIVITIES, [str(day) for day in RANGE], DAILY) or {}
    return [getattr(found[str(day)], "name", "NONE") for day in RANGE]


def test_re_executions_read_only_the_refused_day_until_it_lands(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "_current", [pipeline.only("activities")])
    pipeline.api.miscounted.add(BAD_DAY)
    first = pipeline.read(RANGE).run_id
    known = last_loads(pipeline.instance, SETTINGS)

    second, success, read = re_execute(pipeline, first, dg.ReexecutionOptions(first))
    assert (success, read) == (False, [])
    assert statuses(pipeline) == ["MATERIALIZED", "FAILED", "MATERIALIZED"]

    pipeline.api.miscounted.clear()
    third, success, read = re_execute(pipeline, second, dg.ReexecutionOptions.from_failure(second, pipeline.instance))
    assert (success, read) == (True, [BAD_DAY])
    assert statuses(pipeline) == ["MATERIALIZED"] * 3
    assert {day: last_loads(pipeline.instance, SETTINGS)[day] for day in GOOD_DAYS} == known
    recorded = {str(found.load_id): found.day for found in recorded_days(pipeline.instance, NOW, SETTINGS)}
    assert recorded == loads(pipeline)

    pipeline.api.requested.clear()
    _, success, read = re_execute(pipeline, third, dg.ReexecutionOptions(third))
    assert (success, read) == (True, RANGE)  # re-executing a successful run reads everything


@dg.job
def nothing() -> None:
    """No step."""


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "topo.duckdb"))


def run(
    instance: dg.DagsterInstance, parent: dg.DagsterRun | None = None, status: dg.DagsterRunStatus = FAILURE
) -> dg.DagsterRun:
    again = {"parent_run_id": parent.run_id, "root_run_id": parent.root_run_id or parent.run_id} if parent else {}
    return instance.create_run_for_job(nothing, status=status, **again)


def day(of: date = DAY, zone: timedelta = timedelta(0)) -> Day:
    midnight = noon(of) - timedelta(hours=12) - zone
    return Day(of, Window(midnight, midnight + timedelta(days=1)))


def kept(instance: dg.DagsterInstance, again: dg.DagsterRun, warehouse: Warehouse, *of: Day) -> list[date]:
    return [load.day for load in landed_before(instance, again, warehouse, of or [day(DAY), day(NEXT_DAY)])]


def landed(warehouse: Warehouse, by: dg.DagsterRun, of: date = DAY, at: datetime = LATER, **facts: Any) -> None:
    land_into(warehouse, reading(day=of, **facts), at, by.run_id)


@pytest.mark.parametrize(("status", "found"), [(FAILURE, [DAY]), (CANCELED, [DAY]), (SUCCESS, [])])
def test_days_of_a_failed_or_cancelled_parent_are_kept_but_not_of_a_successful_one(
    instance: dg.DagsterInstance, warehouse: Warehouse, status: dg.DagsterRunStatus, found: list[date]
) -> None:
    parent = run(instance, status=status)
    landed(warehouse, parent)
    assert kept(instance, run(instance, parent), warehouse) == found


@pytest.mark.parametrize(
    ("between", "found"), [([FAILURE, CANCELED], [DAY]), ([FAILURE, SUCCESS], []), ([SUCCESS, FAILURE], [])]
)
def test_earlier_ancestors_count_back_to_the_last_successful_one(
    instance: dg.DagsterInstance, warehouse: Warehouse, between: list[dg.DagsterRunStatus], found: list[date]
) -> None:
    last = run(instance)
    landed(warehouse, last)
    for status in between:
        last = run(instance, last, status)
    assert kept(instance, run(instance, last), warehouse) == found


def test_a_run_without_a_parent_keeps_nothing_and_creates_no_warehouse(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    assert kept(instance, run(instance), warehouse) == []
    assert not path_of(warehouse).exists()


@pytest.mark.parametrize("facts", [{"is_open": True}, {"proved": False}], ids=["open", "unproved"])
def test_a_day_that_landed_open_or_unproved_is_read_again(
    instance: dg.DagsterInstance, warehouse: Warehouse, facts: dict[str, bool]
) -> None:
    parent = run(instance)
    landed(warehouse, parent, **facts)
    landed(warehouse, parent, NEXT_DAY)
    assert kept(instance, run(instance, parent), warehouse) == [NEXT_DAY]


def test_the_last_load_of_a_day_counts_even_if_another_run_landed_it(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    parent, other = run(instance), run(instance)
    landed(warehouse, parent, is_open=True)
    landed(warehouse, parent, NEXT_DAY)
    landed(warehouse, other, at=LATER + timedelta(hours=1), activities=reading(activity(1)).activities)
    landed(warehouse, other, NEXT_DAY, LATER + timedelta(hours=1), proved=False)

    [load] = landed_before(instance, run(instance, parent), warehouse, [day(DAY), day(NEXT_DAY)])
    assert (load.day, load.run_id, load.rows) == (DAY, other.run_id, 1)


def test_a_day_that_only_other_runs_landed_is_read(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    landed(warehouse, run(instance))
    assert kept(instance, run(instance, run(instance)), warehouse) == []


def test_a_day_with_other_bounds_or_that_is_not_requested_is_not_kept(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    parent = run(instance)
    landed(warehouse, parent)
    again = run(instance, parent)
    assert kept(instance, again, warehouse, day(DAY, zone=timedelta(hours=1))) == []
    assert kept(instance, again, warehouse, day(NEXT_DAY)) == []


def test_nothing_is_kept_if_the_warehouse_was_lost(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    parent = run(instance)
    landed(warehouse, parent)
    path_of(warehouse).unlink()
    assert kept(instance, run(instance, parent), warehouse) == []
