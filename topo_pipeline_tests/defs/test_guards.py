"""Loads that a run refuses, and how to allow them."""

from pathlib import Path

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.defs.conftest import NOW, Pipeline, days, pipeline_over

BUSY_DAY = days(10)[4]


def test_a_day_that_would_shrink_is_refused_unless_it_is_named(pipeline: Pipeline) -> None:
    activities = pipeline.only("activities")
    activities.backfill([BUSY_DAY])
    before = pipeline.rows("SELECT id FROM topo.activities ORDER BY id")
    assert len(before) > 20
    ours = pipeline.world.organization_id
    pipeline.api.only_first = 5  # the source now shows no more than these
    refused = activities.backfill([BUSY_DAY])
    assert refused.landed == ()
    assert f"--allow-shrink {BUSY_DAY}" in refused.problems[0]
    assert pipeline.rows("SELECT id FROM topo.activities ORDER BY id") == before

    allowed = activities.backfill([BUSY_DAY], may_shrink=[BUSY_DAY])
    assert allowed.problems == ()
    assert pipeline.rows("SELECT count(*) FROM topo.activities") == [(5,)]
    assert pipeline.rows("SELECT organization_id::VARCHAR FROM topo.workspace") == [(ours,)]


def test_another_organizations_key_is_refused_before_activities_are_requested(pipeline: Pipeline, api_key: str) -> None:
    pipeline.read([BUSY_DAY])
    ours, before = pipeline.world.organization_id, pipeline.rows("FROM topo.activities ORDER BY id")
    pipeline.api.app = create_app(World(12, scale=0.1), api_key=api_key, now=lambda: NOW)
    asked = len(pipeline.api.requested)
    outcome = pipeline.only("activities").backfill([BUSY_DAY])
    assert outcome.landed == ()
    assert f"holds organization {ours}" in outcome.problems[0]
    assert "/v1/activities" not in pipeline.api.requested[asked:]
    assert pipeline.rows("FROM topo.activities ORDER BY id") == before


def test_another_time_zone_is_refused_before_activities_are_requested(
    pipeline: Pipeline, tmp_path: Path, api_key: str
) -> None:
    pipeline.read([BUSY_DAY])
    with pipeline_over(tmp_path, api_key, timezone="Europe/Paris") as elsewhere:
        outcome = elsewhere.only("activities").backfill([BUSY_DAY])
        assert "/v1/activities" not in elsewhere.api.requested
    assert outcome.landed == ()
    assert "TOPO_TIMEZONE=UTC" in outcome.problems[0]
