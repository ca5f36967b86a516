"""Results of the asset checks; test_ranged_runs tests which checks a range evaluates."""

from pathlib import Path

import dagster as dg

from topo_pipeline.orchestration.ranged_runs import QUIET
from topo_pipeline_tests.defs.conftest import Pipeline, days, last_check, pipeline_over

DAILY = dg.AssetKey(["engagement", "sequence_daily"])


def test_an_unproved_day_is_a_warning_until_it_is_proved(tmp_path: Path, api_key: str) -> None:
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


def test_a_refused_day_does_not_hide_an_unproved_one(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        [one, two] = days(10)[4:6]
        pipeline.read([one])
        pipeline.api.miscounted = {two}
        pipeline.api.only_first = 1  # the landed day would shrink, so it is refused
        assert not pipeline.read([one, two]).success
        assert pipeline.rows("SELECT day, proved FROM topo.loads ORDER BY day") == [(one, True), (two, False)]
        assert last_check(pipeline).metadata["examples"].value == [str(two)]


def evaluate(pipeline: Pipeline, checks: dg.AssetSelection) -> dg.ExecuteInProcessResult:
    """Evaluate these checks alone, as the UI's button does."""
    jobs = [dg.define_asset_job("checks_alone", checks)]
    job = dg.Definitions.merge(pipeline.definitions, dg.Definitions(jobs=jobs)).resolve_job_def("checks_alone")
    return job.execute_in_process(instance=pipeline.instance, run_config=QUIET, raise_on_error=False)


OF_DAILY = dg.AssetSelection.checks_for_assets(DAILY)


def test_a_failed_invariant_is_an_error_that_names_sequences_and_fails_no_run(copied: Pipeline) -> None:
    with copied.warehouse.transaction() as connection:
        connection.execute("UPDATE engagement.sequence_daily SET unique_sent = 0")
    assert evaluate(copied, OF_DAILY).success
    check = last_check(copied, "uniques_add_up_to_runs", DAILY)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    contacted = copied.rows(
        "SELECT sequence_name FROM engagement.sequence_summary WHERE period = 'lifetime' AND unique_sent > 0"
    )
    assert len(contacted) > 1
    assert check.metadata["rows"].value == len(contacted)
    assert check.metadata["examples"].value == sorted(f"unique_sent of {name}" for (name,) in contacted)
    assert f"Unique counts that do not add up to the runs with the event, {len(contacted)} in total" in str(
        check.description
    )


def test_a_check_of_a_missing_table_is_a_warning(pipeline: Pipeline) -> None:
    pipeline.warehouse.prepare()
    assert evaluate(pipeline, OF_DAILY).success
    check = last_check(pipeline, "key_is_unique", DAILY)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "Build the tables of this check first: Catalog Error" in str(check.description)


def test_without_a_warehouse_the_checks_fail_with_a_one_line_error(pipeline: Pipeline) -> None:
    result = evaluate(pipeline, OF_DAILY)
    [event] = result.get_step_failure_events()
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert str(failure.description).startswith("There is no warehouse at")


def test_a_single_check_can_be_evaluated(copied: Pipeline) -> None:
    alone = dg.AssetCheckKey(DAILY, "key_is_unique")
    evaluated = evaluate(copied, dg.AssetSelection.checks(alone)).get_asset_check_evaluations()
    assert [evaluation.asset_check_key for evaluation in evaluated] == [alone]
