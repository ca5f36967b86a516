"""What the checks say of the days that are landed."""

from datetime import date
from pathlib import Path

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from topo_pipeline_tests.defs.conftest import LAST_DAYS, Pipeline, days, last_check, pipeline_over

DAILY = dg.AssetKey(["engagement", "sequence_daily"])


def keys_of(pipeline: Pipeline) -> set[dg.AssetCheckKey]:
    return set(pipeline.definitions.resolve_asset_graph().asset_check_keys)


def histories(pipeline: Pipeline) -> dict[dg.AssetCheckKey, list[AssetCheckExecutionRecordStatus]]:
    """How every execution of every check that was ever planned ended, newest first."""
    storage = pipeline.instance.event_log_storage
    return {
        key: [record.status for record in storage.get_asset_check_execution_history(key, limit=99)]
        for key in keys_of(pipeline)
    }


def test_a_day_that_landed_unproved_is_warned_of_until_it_is_proved(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        [one, two, three] = days(3)
        pipeline.api.miscounted = {two}
        outcome = pipeline.land([one, two, three])
        assert outcome.landed == (one, two, three)
        warned = last_check(pipeline)
        assert not warned.passed
        assert warned.severity == dg.AssetCheckSeverity.WARN
        assert warned.metadata["examples"].value == [str(two)]
        assert str(two) in str(warned.description)

        pipeline.api.miscounted = set()
        pipeline.land([two])
        assert last_check(pipeline).passed


def test_a_range_of_proved_days_passes(refreshed: Pipeline) -> None:
    assert last_check(refreshed).passed


def test_many_unproved_days_are_told_by_number_and_the_latest(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        pipeline.api.miscounted = set(days(12))
        pipeline.land(days(12))
        said = str(last_check(pipeline).description)
        assert said.startswith("12 landed days")
        assert "and 7 more" in said
        assert str(date(2026, 3, 12)) in said


def test_a_refused_day_hides_no_unproved_one(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        [one, two] = days(10)[4:6]
        pipeline.land([one])
        pipeline.api.miscounted = {two}
        pipeline.api.only_first = 1  # the day that has landed would shrink, and is refused
        assert pipeline.backfill([one, two]).landed == (two,)
        assert last_check(pipeline).metadata["examples"].value == [str(two)]


def test_a_range_evaluates_every_check_once_leaves_none_planned_and_all_pass(refreshed: Pipeline) -> None:
    ended = histories(refreshed)
    assert {key.asset_key.path[-1] for key in ended} >= {"activities", "sequence_activity", "sequence_summary"}
    succeeded = [AssetCheckExecutionRecordStatus.SUCCEEDED]
    assert {key: found for key, found in ended.items() if found != succeeded} == {}
    assert last_check(refreshed, "key_is_unique", DAILY).metadata["rows"].value == 0


def test_after_a_refused_day_the_tables_that_follow_are_checked_and_the_activities_too(pipeline: Pipeline) -> None:
    pipeline.api.miscounted.add(LAST_DAYS[1])
    assert len(pipeline.backfill(LAST_DAYS).landed) == 3
    keys = list(keys_of(pipeline))
    latest = pipeline.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    statuses = {key: record.status.name for key, record in latest.items()}
    assert set(statuses) == set(keys)
    assert {key.name for key, status in statuses.items() if status != "SUCCEEDED"} == {
        "no_day_is_missing", "last_reading_landed", "topo_counts_what_landed"
    }  # fmt: skip
    assert set(statuses.values()) == {"SUCCEEDED", "FAILED"}


def check_alone(pipeline: Pipeline, asset: dg.AssetKey) -> bool:
    """Evaluate an asset's checks as the UI's button does; whether the run succeeded."""
    return checks_alone(pipeline, asset).execute_in_process(instance=pipeline.instance).success


def checks_alone(pipeline: Pipeline, asset: dg.AssetKey) -> dg.JobDefinition:
    checks = dg.define_asset_job("checks_alone", dg.AssetSelection.checks_for_assets(asset))
    return dg.Definitions.merge(pipeline.definitions, dg.Definitions(jobs=[checks])).resolve_job_def("checks_alone")


def test_a_fault_of_ours_is_an_error_that_names_the_sequences_and_fails_no_run(copied: Pipeline) -> None:
    with copied.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_daily SET unique_sent = 0")
    assert check_alone(copied, DAILY)
    told = last_check(copied, "uniques_add_up_to_runs", DAILY)
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.ERROR)
    contacted = copied.rows("SELECT sequence_name FROM engagement.sequence_summary WHERE unique_sent > 0")
    assert len(contacted) > 1
    assert told.metadata["rows"].value == len(contacted)
    assert told.metadata["examples"].value == sorted(f"unique_sent of {name}" for (name,) in contacted)
    assert f"{len(contacted)} times uniques do not add up" in str(told.description)


def test_a_check_of_a_table_that_is_not_there_yet_says_so(pipeline: Pipeline) -> None:
    pipeline.warehouse.prepare()
    assert check_alone(pipeline, DAILY)
    told = last_check(pipeline, "key_is_unique", DAILY)
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "before the tables are built anew: Catalog Error: Table with name sequence_daily" in str(told.description)


def test_without_a_warehouse_the_checks_fail_in_one_sentence(pipeline: Pipeline) -> None:
    result = checks_alone(pipeline, DAILY).execute_in_process(instance=pipeline.instance, raise_on_error=False)
    [event] = result.get_step_failure_events()
    said = event.step_failure_data.user_failure_data
    assert said is not None
    assert str(said.description).startswith("There is no warehouse at")


def test_one_check_of_a_table_can_be_evaluated_alone(copied: Pipeline) -> None:
    [alone] = [key for key in keys_of(copied) if key.asset_key == DAILY and key.name == "key_is_unique"]
    job = dg.define_asset_job("alone", selection=dg.AssetSelection.checks(alone))
    result = dg.Definitions.merge(copied.definitions, dg.Definitions(jobs=[job])).resolve_job_def("alone")
    evaluated = result.execute_in_process(instance=copied.instance).get_asset_check_evaluations()
    assert [evaluation.asset_check_key for evaluation in evaluated] == [alone]
