"""What the checks say of the days that are landed."""

from datetime import date
from pathlib import Path

import dagster as dg

from topo_pipeline_tests.defs.conftest import ACTIVITIES, Pipeline, days, pipeline_over


def look(pipeline: Pipeline) -> dg.AssetCheckEvaluation:
    """The check's last word, from Dagster's own records."""
    key = dg.AssetCheckKey(ACTIVITIES, "every_day_is_proved")
    record = pipeline.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event
    return record.event.dagster_event.asset_check_evaluation_data


def test_a_day_that_landed_unproved_is_warned_of_until_it_is_proved(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        [one, two, three] = days(3)
        pipeline.api.miscounted = {two}
        outcome = pipeline.backfill([one, two, three])
        assert outcome.landed == (one, two, three)
        warned = look(pipeline)
        assert not warned.passed
        assert warned.severity == dg.AssetCheckSeverity.WARN
        assert warned.metadata["unproved_days"].value == [str(two)]
        assert str(two) in str(warned.description)

        pipeline.api.miscounted = set()
        pipeline.backfill([two])
        assert look(pipeline).passed


def test_a_range_of_proved_days_passes(pipeline: Pipeline) -> None:
    pipeline.backfill(days(2))
    assert look(pipeline).passed


def test_many_unproved_days_are_told_by_number_and_the_latest(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        pipeline.api.miscounted = set(days(12))
        pipeline.backfill(days(12))
        said = str(look(pipeline).description)
        assert said.startswith("12 landed days")
        assert "and 2 more" in said
        assert str(date(2026, 3, 12)) in said
