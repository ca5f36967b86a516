"""The checks of missing and refused days, of the ledger, and of Topo's counts."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from topo_pipeline.days import last_due_day
from topo_pipeline.defs.partitions import every_morning
from topo_pipeline_tests.conftest import API_KEY
from topo_pipeline_tests.defs.conftest import ACTIVITIES, NOW, SETTINGS, Pipeline, days, last_check, pipeline_over

YESTERDAY = NOW.date() - timedelta(days=1)
WEEK = days(7, YESTERDAY - timedelta(days=6))
COUNTS = "topo_counts_what_landed"
LATER = NOW + timedelta(hours=13)  # at night, before yesterday is due


def named_days(pipeline: Pipeline, check: str) -> tuple[str, ...]:
    """Return the days that the latest evaluation of a check names."""
    evaluation = last_check(pipeline, check)
    is_error = check == "ledger_agrees_with_dagster"
    assert evaluation.severity == (dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN)
    examples = tuple(evaluation.metadata["examples"].value)
    assert evaluation.passed == (examples == ())
    return examples


def test_every_asset_but_the_published_ones_must_be_fresh_every_morning(pipeline: Pipeline) -> None:
    policy = every_morning(SETTINGS.timezone)
    specs = list(pipeline.definitions.resolve_all_asset_specs())
    assert {spec.key.to_user_string() for spec in specs if spec.freshness_policy != policy} == {
        "publish/engagement_report", "publish/parquet",  # on Mondays, and on demand
    }  # fmt: skip
    assert policy.timezone == "UTC"


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        ("UTC", "2026-03-20T12:00", "2026-03-19"),
        ("UTC", "2026-03-20T01:15", "2026-03-19"),
        ("UTC", "2026-03-20T01:14", "2026-03-18"),
        ("UTC", "2026-03-20T00:00", "2026-03-18"),
        ("Asia/Tokyo", "2026-03-20T02:00", "2026-03-19"),
        ("Europe/Paris", "2026-03-29T03:15", "2026-03-28"),  # one hour is skipped
        ("Europe/Paris", "2026-10-25T01:30", "2026-10-24"),  # one hour is repeated
        ("Africa/Cairo", "2026-04-24T01:00", "2026-04-22"),  # midnight is skipped
    ],
)
def test_yesterday_is_due_after_the_nightly_run(zone: str, local: str, expected: str) -> None:
    now = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone))
    assert last_due_day(now.astimezone(UTC), ZoneInfo(zone)) == date.fromisoformat(expected)


def test_missing_and_refused_days_are_reported_until_they_land(pipeline: Pipeline) -> None:
    [*_, one, two, three] = WEEK
    pipeline.read([one], checked=True)
    assert named_days(pipeline, "yesterday_is_landed") == (str(three),)
    assert named_days(pipeline, "no_day_is_missing") == (str(three), str(two))
    assert named_days(pipeline, "last_reading_landed") == ()
    pipeline.api.miscounted = {one, two}  # one of them has landed before
    pipeline.read([one, two, three], checked=True)
    assert named_days(pipeline, "yesterday_is_landed") == ()
    assert named_days(pipeline, "no_day_is_missing") == (str(two),)
    assert named_days(pipeline, "last_reading_landed") == (str(two), str(one))
    pipeline.read([three], checked=True)
    assert named_days(pipeline, "last_reading_landed") == (str(two), str(one))
    pipeline.api.miscounted = set()
    pipeline.read([one, two], checked=True)
    assert named_days(pipeline, "last_reading_landed") == ()
    assert named_days(pipeline, "no_day_is_missing") == ()


def test_a_day_that_landed_open_is_reported_once_it_is_over_and_is_not_compared(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key) as pipeline:
        pipeline.read([YESTERDAY, NOW.date()], checked=True)
        assert named_days(pipeline, "every_day_is_closed") == ()
    with pipeline_over(tmp_path, api_key, clock=lambda: NOW + timedelta(days=1)) as pipeline:
        evaluate(pipeline)
        assert named_days(pipeline, "every_day_is_closed") == (str(NOW.date()),)
        assert pipeline.api.requested == ["/v1/me", "/v1/activities"]  # only for yesterday


def test_records_that_were_reported_by_hand_disagree_with_the_ledger(tmp_path: Path, api_key: str) -> None:
    [*_, one, two] = WEEK
    with pipeline_over(tmp_path, api_key) as pipeline:
        pipeline.read([one], checked=True)
        assert named_days(pipeline, "ledger_agrees_with_dagster") == ()
        for day in (one, two):
            pipeline.instance.report_runless_asset_event(dg.AssetMaterialization(ACTIVITIES, partition=str(day)))
        evaluate(pipeline)
        assert named_days(pipeline, "ledger_agrees_with_dagster") == (str(two), str(one))


def evaluate(pipeline: Pipeline) -> None:
    """Evaluate the activities' checks as the UI's button does."""
    checks = dg.define_asset_job("checks_alone", dg.AssetSelection.checks_for_assets(ACTIVITIES))
    job = dg.Definitions.merge(pipeline.definitions, dg.Definitions(jobs=[checks])).resolve_job_def("checks_alone")
    assert job.execute_in_process(instance=pipeline.instance).success


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse in which the last eight days have landed."""
    folder = tmp_path_factory.mktemp("landed")
    with pipeline_over(folder, API_KEY) as pipeline:
        pipeline.read(days(8, WEEK[0] - timedelta(days=1)))
    return folder


@pytest.fixture
def later(landed: Path, api_key: str) -> Iterator[Pipeline]:
    """That warehouse thirteen hours later."""
    with pipeline_over(landed, api_key, clock=lambda: LATER) as pipeline:
        yield pipeline


def test_each_of_the_last_seven_days_is_compared_with_one_request(later: Pipeline) -> None:
    evaluate(later)
    assert named_days(later, COUNTS) == ()
    assert later.api.requested == ["/v1/me"] + ["/v1/activities"] * 7
    assert "Days compared: 7" in str(last_check(later, COUNTS).description)


def test_days_whose_count_has_changed_are_reported_with_the_difference(later: Pipeline) -> None:
    later.api.miscounted = {WEEK[0] - timedelta(days=1), WEEK[2], WEEK[5]}
    evaluate(later)
    assert named_days(later, COUNTS) == (f"{WEEK[5]} (+1)", f"{WEEK[2]} (+1)")


def test_days_read_in_the_last_twelve_hours_are_not_compared(landed: Path, api_key: str) -> None:
    with pipeline_over(landed, api_key, clock=lambda: NOW + timedelta(hours=12)) as pipeline:
        evaluate(pipeline)
        assert named_days(pipeline, COUNTS) == ()
        assert pipeline.api.requested == []


def test_if_topo_cannot_be_queried_the_check_warns_and_no_run_fails(landed: Path, api_key: str) -> None:
    with pipeline_over(landed, api_key, clock=lambda: LATER, key_used="topo_wrong_key") as pipeline:
        evaluate(pipeline)
        evaluation = last_check(pipeline, COUNTS)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(evaluation.description).startswith("Could not be determined: Topo does not accept the API key")
