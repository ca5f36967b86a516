"""A lost warehouse or a lost DAGSTER_HOME: the next run says so, and the nights read what can be read again."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline.defs.records import Disagreement, compare, lost_days, recorded_loads
from topo_pipeline.defs.schedules import nightly_refresh_schedule
from topo_pipeline_tests.conftest import API_KEY
from topo_pipeline_tests.defs.conftest import NOW, Pipeline, days, pipeline_over
from topo_pipeline_tests.defs.test_schedules import Tick

YESTERDAY = NOW.date() - timedelta(days=1)
TEN_DAYS = days(10, YESTERDAY - timedelta(days=9))
HOLE = TEN_DAYS[4]
LANDED = [day for day in TEN_DAYS[:-2] if day != HOLE]
NIGHT = datetime(2026, 3, 20, 1, 15, tzinfo=UTC)


@contextmanager
def some_landed(folder: Path) -> Iterator[Pipeline]:
    """Ten days without the last two, and with a hole."""
    folder.mkdir()
    with pipeline_over(folder, API_KEY) as pipeline:
        assert pipeline.read(TEN_DAYS[:4]).success
        assert pipeline.read(TEN_DAYS[5:-2]).success
        yield pipeline


def asked_for_at_night(pipeline: Pipeline) -> list[date]:
    """The days that the nightly schedule asks for."""
    resources, tick = pipeline.definitions.resources or {}, Tick(pipeline.instance, NIGHT)
    requests = nightly_refresh_schedule(tick, resources["topo"], resources["settings"])
    assert isinstance(requests, list)
    asked: list[date] = []
    for request in requests:
        first, last = (
            date.fromisoformat(request.tags[f"dagster/asset_partition_range_{end}"]) for end in ("start", "end")
        )
        asked += days((last - first).days + 1, first)
    return asked


def errors(pipeline: Pipeline, result: dg.ExecuteInProcessResult) -> list[str]:
    return [entry.user_message for entry in pipeline.instance.all_logs(result.run_id) if entry.level == 40]


def recorded_days_of(pipeline: Pipeline) -> Sequence[str]:
    return sorted(key for key, _ in recorded_loads(pipeline.instance))


def test_a_lost_warehouse_is_an_error_in_the_next_run_and_the_nights_read_it_again(tmp_path: Path) -> None:
    with some_landed(tmp_path / "here") as pipeline:
        assert compare(pipeline.instance, pipeline.warehouse) == Disagreement()
        pipeline.warehouse.path.unlink()
        result = pipeline.read([TEN_DAYS[-2]])
        assert result.success
        [error] = errors(pipeline, result)
        assert str(pipeline.warehouse.path) in error
        assert "TOPO_WAREHOUSE" in error
        before, after = HOLE - timedelta(days=1), HOLE + timedelta(days=1)
        for first, last in ((LANDED[0], before), (after, LANDED[-1])):
            assert f"topo-pipeline backfill {first} {last}" in error
        assert lost_days(pipeline.instance) == set(LANDED)
        assert asked_for_at_night(pipeline) == TEN_DAYS

        assert pipeline.read(TEN_DAYS).success
        assert lost_days(pipeline.instance) == set()
        assert compare(pipeline.instance, pipeline.warehouse) == Disagreement()
        assert asked_for_at_night(pipeline) == TEN_DAYS[-4:]  # as every night


def test_days_of_a_lost_warehouse_that_landed_since_are_not_read_once_more(tmp_path: Path) -> None:
    with some_landed(tmp_path / "here") as pipeline:
        pipeline.warehouse.path.unlink()
        assert pipeline.read([TEN_DAYS[-2]]).success
        assert pipeline.read(TEN_DAYS[:3]).success
        assert lost_days(pipeline.instance) == set(LANDED[3:])
        assert asked_for_at_night(pipeline) == TEN_DAYS[3:]


def test_a_warehouse_that_was_looked_for_under_a_wrong_path_is_not_read_anew_once_the_path_is_right(
    tmp_path: Path,
) -> None:
    with some_landed(tmp_path / "here") as pipeline:
        right, elsewhere = pipeline.warehouse.path, tmp_path / "elsewhere.duckdb"
        right.rename(elsewhere)
        assert pipeline.read([TEN_DAYS[-2]]).success
        elsewhere.replace(right)
        result = pipeline.read([TEN_DAYS[-1]])
        assert result.success
        assert lost_days(pipeline.instance) == {TEN_DAYS[-2]}  # landed in the other file
        assert asked_for_at_night(pipeline) == [HOLE, *TEN_DAYS[-4:]]


def test_a_lost_dagster_home_knows_every_landed_day_after_the_next_run_and_the_night_fills_the_holes(
    tmp_path: Path,
) -> None:
    with some_landed(tmp_path / "here"):
        pass
    with pipeline_over(tmp_path / "here", API_KEY) as afresh:
        assert asked_for_at_night(afresh) == TEN_DAYS[-4:]
        result = afresh.read([TEN_DAYS[-1]])
        assert result.success
        [error] = errors(afresh, result)
        assert error.startswith("Dagster had no record of the last load of these landed days")
        assert recorded_days_of(afresh) == [str(day) for day in [*LANDED, TEN_DAYS[-1]]]
        assert compare(afresh.instance, afresh.warehouse) == Disagreement()
        assert asked_for_at_night(afresh) == [HOLE, *TEN_DAYS[-4:]]


def test_days_that_a_backup_holds_as_older_loads_are_read_again(tmp_path: Path) -> None:
    with some_landed(tmp_path / "here") as pipeline:
        backup = Path(shutil.copy(pipeline.warehouse.path, tmp_path / "backup.duckdb"))
        assert pipeline.read(LANDED[:2]).success
        backup.replace(pipeline.warehouse.path)
        assert compare(pipeline.instance, pipeline.warehouse) == Disagreement(lost=tuple(LANDED[:2]))
        assert pipeline.read([TEN_DAYS[-2]]).success
        assert asked_for_at_night(pipeline) == [*LANDED[:2], HOLE, *TEN_DAYS[-4:]]


def test_where_both_agree_a_run_adds_no_event_and_no_word(tmp_path: Path) -> None:
    with some_landed(tmp_path / "here") as pipeline:
        result = pipeline.read([TEN_DAYS[-2]])
        assert errors(pipeline, result) == []
        filters = dg.AssetRecordsFilter(dg.AssetKey(["topo", "activities"]))
        assert pipeline.instance.fetch_observations(filters, 9).records == []
        assert len(pipeline.instance.fetch_materializations(filters, 99).records) == 2 * len(LANDED) + 2


@pytest.mark.parametrize("noted", ["a text", {"a": 1}, None])
def test_an_observation_of_somebody_else_is_no_list_of_lost_days(tmp_path: Path, api_key: str, noted: object) -> None:
    with pipeline_over(tmp_path, api_key) as pipeline:
        metadata = {"lost_days": dg.MetadataValue.json(noted)}
        pipeline.instance.report_runless_asset_event(
            dg.AssetObservation(dg.AssetKey(["topo", "activities"]), metadata=metadata)
        )
        assert lost_days(pipeline.instance) == set()
