"""Payloads that are older than the retention period are emptied by each run that reads days."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from topo_pipeline.maintenance import retention
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import NotCompacted
from topo_pipeline_tests.defs.conftest import LAST_DAYS, NOW, Pipeline, pipeline_over

DAYS = LAST_DAYS[1:]
FULL = "SELECT DISTINCT day FROM topo.activities WHERE payload <> '' ORDER BY day"


@pytest.fixture
def pipeline(tmp_path: Path, api_key: str) -> Iterator[Pipeline]:
    with pipeline_over(tmp_path, api_key, payload_days="2") as built:
        yield built


def test_a_run_empties_only_payloads_older_than_the_retention_period(pipeline: Pipeline) -> None:
    assert pipeline.read(DAYS).success
    kept = [(day,) for day in DAYS if day >= NOW.date() - timedelta(days=2)]
    assert pipeline.rows(FULL) == kept
    assert pipeline.rows("SELECT count(DISTINCT day) FROM topo.activities") == [(len(DAYS),)]
    again = pipeline.read(DAYS)
    assert again.success
    assert pipeline.rows("SELECT sum(added + changed + removed) FROM landed_days") == [(0,)]
    assert pipeline.rows(FULL) == kept


def test_refused_days_do_not_prevent_it(pipeline: Pipeline) -> None:
    pipeline.api.miscounted.add(DAYS[-1])
    assert not pipeline.read(DAYS).success
    assert pipeline.rows(FULL) == [(DAYS[-2],)]


def test_if_it_fails_the_days_stay_landed_and_the_log_says_why(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: Warehouse) -> None:
        raise NotCompacted("no room")

    monkeypatch.setattr(retention, "compact", full_disk)
    result = pipeline.read(DAYS)
    assert result.success
    errors = [entry.user_message for entry in pipeline.instance.all_logs(result.run_id) if entry.level == 40]
    assert errors == ["Retention (TOPO_PAYLOAD_DAYS): no room"]
