"""What the checks say of the days that are landed, and of the tables; what a range evaluates is in test_ranged_runs."""

from pathlib import Path

import dagster as dg

from topo_pipeline.orchestration.ranged_runs import QUIET
from topo_pipeline_tests.defs.conftest import Pipeline, days, last_check, pipeline_over

DAILY = dg.AssetKey(["engagement", "sequence_daily"])


def test_a_day_that_landed_unproved_is_warned_of_until_it_is_proved(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        [one, two, three] = days(3)
        pipeline.api.miscounted = {one, two}
        assert pipeline.read([one, two, three], checked=True).success
        warned = last_check(pipeline)
        assert not warned.passed
        assert warned.severity == dg.AssetCheckSeverity.WARN
        assert warned.metadata["examples"].value == [str(two), str(one)]
        assert str(warned.description).startswith("Landed days not proved complete, 2 in total")
        assert str(two) in str(warned.description)

        pipeline.api.miscounted = set()
        pipeline.read([one, two], checked=True)
        assert last_check(pipeline).passed


def test_a_refused_day_hides_no_unproved_one(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        [one, two] = days(10)[4:6]
        pipeline.read([one])
        pipeline.api.miscounted = {two}
        pipeline.api.only_first = 1  # the day that has landed would shrink, and is refused
        assert not pipeline.read([one, two]).success
        assert pipeline.rows("SELECT day, proved FROM topo.loads ORDER BY day") == [(one, True), (two, False)]
        assert last_check(pipeline).metadata["examples"].value == [str(two)]


def evaluate(pipeline: Pipeline, checks: dg.AssetSelection) -> dg.ExecuteInProcessResult:
    """Evaluate these checks alone, as the UI's button does."""
    jobs = [dg.define_asset_job("checks_alone", checks)]
    job = dg.Definitions.merge(pipeline.definitions, dg.Definitions(jobs=jobs)).resolve_job_def("checks_alone")
    return job.execute_in_process(instance=pipeline.instance, run_config=QUIET, raise_on_error=False)


OF_DAILY = dg.AssetSelection.checks_for_assets(DAILY)


def test_a_fault_of_ours_is_an_error_that_names_the_sequences_and_fails_no_run(copied: Pipeline) -> None:
    with copied.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_daily SET unique_sent = 0")
    assert evaluate(copied, OF_DAILY).success
    told = last_check(copied, "uniques_add_up_to_runs", DAILY)
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.ERROR)
    contacted = copied.rows(
        "SELECT sequence_name FROM engagement.sequence_summary WHERE period = 'lifetime' AND unique_sent > 0"
    )
    assert len(contacted) > 1
    assert told.metadata["rows"].value == len(contacted)
    assert told.metadata["examples"].value == sorted(f"unique_sent of {name}" for (name,) in contacted)
    assert f"Unique counts that do not add up to the runs with the event, {len(contacted)} in total" in str(
        told.description
    )


def test_a_check_of_a_table_that_is_not_there_yet_says_so(pipeline: Pipeline) -> None:
    pipeline.warehouse.prepare()
    assert evaluate(pipeline, OF_DAILY).success
    told = last_check(pipeline, "key_is_unique", DAILY)
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "Build the tables of this check first: Catalog Error" in str(told.description)


def test_without_a_warehouse_the_checks_fail_in_one_sentence(pipeline: Pipeline) -> None:
    result = evaluate(pipeline, OF_DAILY)
    [event] = result.get_step_failure_events()
    said = event.step_failure_data.user_failure_data
    assert said is not None
    assert str(said.description).startswith("There is no warehouse at")


def test_one_check_of_a_table_can_be_evaluated_alone(copied: Pipeline) -> None:
    alone = dg.AssetCheckKey(DAILY, "key_is_unique")
    evaluated = evaluate(copied, dg.AssetSelection.checks(alone)).get_asset_check_evaluations()
    assert [evaluation.asset_check_key for evaluation in evaluated] == [alone]
