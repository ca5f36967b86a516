"""After the warehouse or DAGSTER_HOME is lost, the next run says so and the nights read the days again."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from topo_pipeline.defs.records import Disagreement, compare, lost_days, recorded_loads
from topo_pipeline.defs.schedules import nightly_refresh_schedule
from topo_pipeline_tests.conftest import API_KEY
from topo_pipeline_tests.defs.conftest import NOW, SETTINGS, Pipeline, days, pipeline_over
from topo_pipeline_tests.defs.in_memory import copy_records
from topo_pipeline_tests.defs.test_schedules import Tick
from topo_pipeline_tests.warehouse.builders import path_of

YESTERDAY = NOW.date() - timedelta(days=1)
EIGHT_DAYS = days(8, YESTERDAY - timedelta(days=7))
GAP = EIGHT_DAYS[2]
LANDED = [day for day in EIGHT_DAYS[:-2] if day != GAP]
NIGHT = datetime(2026, 3, 20, 1, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A pipeline that has landed some days, to be copied."""
    with pipeline_over(tmp_path_factory.mktemp("landed"), API_KEY) as pipeline:
        assert pipeline.read(EIGHT_DAYS[:2]).success
        assert pipeline.read(EIGHT_DAYS[3:-2]).success
        yield pipeline


@pytest.fixture
def pipeline(landed: Pipeline, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline in which the last two of eight days are missing, and one in between."""
    (tmp_path / "here").mkdir()
    shutil.copy(path_of(landed.warehouse), tmp_path / "here")
    with pipeline_over(tmp_path / "here", API_KEY) as copied:
        copy_records(landed.instance, copied.instance)
        yield copied


def requested_at_night(pipeline: Pipeline) -> list[date]:
    """Return the days that the nightly schedule requests."""
    resources, tick = pipeline.definitions.resources or {}, Tick(pipeline.instance, NIGHT)
    requests = nightly_refresh_schedule(tick, resources["topo"], resources["settings"])
    assert isinstance(requests, list)
    requested: list[date] = []
    for request in requests:
        first, last = (
            date.fromisoformat(request.tags[f"dagster/asset_partition_range_{end}"]) for end in ("start", "end")
        )
        requested += days((last - first).days + 1, first)
    return requested


def errors(pipeline: Pipeline, result: dg.ExecuteInProcessResult) -> list[str]:
    return [entry.user_message for entry in pipeline.instance.all_logs(result.run_id) if entry.level == 40]


def recorded_days_of(pipeline: Pipeline) -> Sequence[str]:
    return sorted(key for key, _ in recorded_loads(pipeline.instance, SETTINGS))


def test_a_lost_warehouse_is_an_error_in_the_next_run_and_is_read_again_at_night(pipeline: Pipeline) -> None:
    assert compare(pipeline.instance, SETTINGS, pipeline.warehouse) == Disagreement()
    path_of(pipeline.warehouse).unlink()
    result = pipeline.read([EIGHT_DAYS[-2]])
    assert result.success
    [error] = errors(pipeline, result)
    assert str(path_of(pipeline.warehouse)) in error
    assert "TOPO_WAREHOUSE" in error
    before, after = GAP - timedelta(days=1), GAP + timedelta(days=1)
    for first, last in ((LANDED[0], before), (after, LANDED[-1])):
        assert f"topo-pipeline backfill {first} {last}" in error
    assert lost_days(pipeline.instance, SETTINGS) == set(LANDED)
    assert requested_at_night(pipeline) == EIGHT_DAYS

    assert pipeline.read(EIGHT_DAYS).success
    assert lost_days(pipeline.instance, SETTINGS) == set()
    assert compare(pipeline.instance, SETTINGS, pipeline.warehouse) == Disagreement()
    assert requested_at_night(pipeline) == EIGHT_DAYS[-4:]  # as every night


def test_days_of_a_lost_warehouse_that_have_landed_again_are_not_requested(pipeline: Pipeline) -> None:
    path_of(pipeline.warehouse).unlink()
    assert pipeline.read([EIGHT_DAYS[-2]]).success
    assert pipeline.read(EIGHT_DAYS[:3]).success
    assert lost_days(pipeline.instance, SETTINGS) == {*EIGHT_DAYS[3:-2]}
    assert requested_at_night(pipeline) == EIGHT_DAYS[3:]


def test_after_a_wrong_path_is_corrected_the_warehouse_is_not_read_again(pipeline: Pipeline, tmp_path: Path) -> None:
    right, elsewhere = path_of(pipeline.warehouse), tmp_path / "elsewhere.duckdb"
    right.rename(elsewhere)
    assert pipeline.read([EIGHT_DAYS[-2]]).success
    elsewhere.replace(right)
    result = pipeline.read([EIGHT_DAYS[-1]])
    assert result.success
    assert lost_days(pipeline.instance, SETTINGS) == {EIGHT_DAYS[-2]}  # landed in the other file
    assert requested_at_night(pipeline) == [GAP, *EIGHT_DAYS[-4:]]


def test_after_a_lost_home_the_next_run_records_every_landed_day_and_gaps_are_read(
    landed: Pipeline, tmp_path: Path
) -> None:
    shutil.copy(path_of(landed.warehouse), tmp_path)
    with pipeline_over(tmp_path, API_KEY) as with_new_home:
        assert requested_at_night(with_new_home) == EIGHT_DAYS[-4:]
        result = with_new_home.read([EIGHT_DAYS[-1]])
        assert result.success
        [error] = errors(with_new_home, result)
        assert error.startswith("Dagster had no record of the last load of these landed days")
        assert recorded_days_of(with_new_home) == [str(day) for day in [*LANDED, EIGHT_DAYS[-1]]]
        assert compare(with_new_home.instance, SETTINGS, with_new_home.warehouse) == Disagreement()
        assert requested_at_night(with_new_home) == [GAP, *EIGHT_DAYS[-4:]]


def test_days_whose_restored_loads_are_older_are_read_again(pipeline: Pipeline, tmp_path: Path) -> None:
    backup = Path(shutil.copy(path_of(pipeline.warehouse), tmp_path / "backup.duckdb"))
    assert pipeline.read(LANDED[:2]).success
    backup.replace(path_of(pipeline.warehouse))
    assert compare(pipeline.instance, SETTINGS, pipeline.warehouse) == Disagreement(lost=tuple(LANDED[:2]))
    assert pipeline.read([EIGHT_DAYS[-2]]).success
    assert requested_at_night(pipeline) == [*LANDED[:2], GAP, *EIGHT_DAYS[-4:]]


def test_if_both_agree_a_run_adds_no_event_and_no_error(pipeline: Pipeline) -> None:
    result = pipeline.read([EIGHT_DAYS[-2]])
    assert errors(pipeline, result) == []
    filters = dg.AssetRecordsFilter(dg.AssetKey(["topo", "activities"]))
    assert pipeline.instance.fetch_observations(filters, 9).records == []
    assert len(pipeline.instance.fetch_materializations(filters, 99).records) == len(LANDED) + 1


@pytest.mark.parametrize("noted", ["a text", {"a": 1}, None])
def test_observations_with_other_metadata_are_ignored(tmp_path: Path, api_key: str, noted: object) -> None:
    with pipeline_over(tmp_path, api_key) as pipeline:
        metadata = {"lost_days": dg.MetadataValue.json(noted)}
        pipeline.instance.report_runless_asset_event(
            dg.AssetObservation(dg.AssetKey(["topo", "activities"]), metadata=metadata)
        )
        assert lost_days(pipeline.instance, SETTINGS) == set()
