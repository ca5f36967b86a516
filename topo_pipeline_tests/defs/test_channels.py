"""Channels of messages whose payloads don't name one, as on Topo's reference page."""

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import dagster as dg

from topo_pipeline_tests.defs.conftest import ACTIVITIES, Pipeline, days, pipeline_over

BUSY_DAY = days(10)[4]
MESSAGES = ("message.sent", "message.replied")
LANDED = "FROM topo.activities WHERE type IN ('message.sent', 'message.replied')"
ONLY_PAGES = "SELECT requests = ceil(api_total_count / 100) + 2 FROM topo.loads"


def true_channels(pipeline: Pipeline) -> Counter[tuple[str, str | None]]:
    midnight = datetime.combine(BUSY_DAY, time(), UTC)
    found = pipeline.world.activities(midnight - timedelta(microseconds=1), midnight + timedelta(days=1))
    return Counter((activity.id, activity.channel) for activity in found if activity.type in MESSAGES)


def test_messages_get_their_channel_from_topos_filter(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, spelling="camel") as pipeline:
        assert pipeline.read([BUSY_DAY]).success
        rows = pipeline.rows(f"SELECT id::VARCHAR, channel {LANDED}")
        assert Counter(rows) == true_channels(pipeline)
        assert {channel for _, channel in rows} == {"EMAIL", "LINKEDIN"}
        sources = (
            "SELECT DISTINCT channel_source FROM topo.activities WHERE type IN ('message.sent', 'message.replied')"
        )
        assert pipeline.rows(sources) == [("filter",)]
        [[requests]] = pipeline.rows("SELECT requests FROM topo.loads")
        assert requests == pipeline.api.requested.count("/v1/activities")
        event = pipeline.instance.get_latest_materialization_event(ACTIVITIES)
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["requests"] == dg.IntMetadataValue(requests)


def test_with_label_channels_off_no_channel_is_requested(tmp_path: Path, api_key: str) -> None:
    with pipeline_over(tmp_path, api_key, spelling="camel", label_channels="off") as pipeline:
        assert pipeline.read([BUSY_DAY]).success
        assert pipeline.rows(f"SELECT DISTINCT channel, channel_source {LANDED}") == [(None, "unknown")]
        assert pipeline.rows(ONLY_PAGES) == [(True,)]


def test_payloads_that_name_the_channel_cost_no_extra_request(pipeline: Pipeline) -> None:
    assert pipeline.read([BUSY_DAY]).success
    assert pipeline.rows(ONLY_PAGES) == [(True,)]
