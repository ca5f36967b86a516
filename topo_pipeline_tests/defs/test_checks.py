"""What the checks say of the days that are landed."""

from datetime import date
from pathlib import Path

import dagster as dg

from topo_pipeline_tests.defs.conftest import Pipeline, days, last_check, pipeline_over


def test_a_day_that_landed_unproved_is_warned_of_until_it_is_proved(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        [one, two, three] = days(3)
        pipeline.api.miscounted = {two}
        outcome = pipeline.backfill([one, two, three])
        assert outcome.landed == (one, two, three)
        warned = last_check(pipeline)
        assert not warned.passed
        assert warned.severity == dg.AssetCheckSeverity.WARN
        assert warned.metadata["unproved_days"].value == [str(two)]
        assert str(two) in str(warned.description)

        pipeline.api.miscounted = set()
        pipeline.backfill([two])
        assert last_check(pipeline).passed


def test_a_range_of_proved_days_passes(pipeline: Pipeline) -> None:
    pipeline.backfill(days(2))
    assert last_check(pipeline).passed


def test_many_unproved_days_are_told_by_number_and_the_latest(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        pipeline.api.miscounted = set(days(12))
        pipeline.backfill(days(12))
        said = str(last_check(pipeline).description)
        assert said.startswith("12 landed days")
        assert "and 2 more" in said
        assert str(date(2026, 3, 12)) in said


def test_a_refused_day_hides_no_unproved_one(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, completeness="warn") as pipeline:
        [one, two] = days(10)[4:6]
        pipeline.backfill([one])
        pipeline.api.miscounted = {two}
        pipeline.api.only_first = 1  # the day that has landed would shrink, and is refused
        assert pipeline.backfill([one, two]).landed == (two,)
        assert last_check(pipeline).metadata["unproved_days"].value == [str(two)]
