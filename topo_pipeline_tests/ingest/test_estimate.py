"""`backfill --dry-run` estimates what it would read, with one request, and changes nothing."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from topo_pipeline.common.text import counted
from topo_pipeline.sandbox.server import serve
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.topo_api.helpers import Answer, Scripted, page_of
from topo_pipeline_tests.warehouse.builders import land_into, path_of, reading

RANGE = ("2026-03-01", "2026-03-04")


@pytest.fixture
def topo() -> Scripted:
    """Return an API that counts 1,234 activities in any window."""
    return Scripted(Answer(page_of([], total=1234)))


def test_a_dry_run_estimates_with_one_request_and_creates_no_files(tmp_path: Path, topo: Scripted) -> None:
    with serve(topo) as address:
        result = answer(
            tmp_path, "backfill", *RANGE, "--dry-run", TOPO_API_URL=f"{address}/v1", TOPO_REQUESTS_PER_SECOND="2"
        )
    assert result.returncode == 0, result.stderr
    assert "4 days: 2026-03-01 to 2026-03-04 (none landed yet)" in result.stdout
    assert "1,234 activities" in result.stdout
    assert "about 16 requests" in result.stdout  # 12 full pages, and one last page for each of 4 days
    assert "at 2 per second take at least 0:00:08 (h:mm:ss)" in result.stdout
    assert list(tmp_path.iterdir()) == []
    [request] = topo.requests
    assert request.params["size"] == "1"
    after, before = (datetime.fromisoformat(request.params[f"created_at_{end}"]) for end in ("after", "before"))
    assert before == datetime(2026, 3, 5, tzinfo=UTC)
    assert timedelta() < datetime(2026, 3, 1, tzinfo=UTC) - after <= timedelta(seconds=1)


def test_a_dry_run_lists_landed_days_and_changes_nothing(tmp_path: Path, topo: Scripted) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    for day in (date(2026, 3, 2), date(2026, 3, 9)):
        land_into(warehouse, reading(day=day))
    before = path_of(warehouse).read_bytes()
    with serve(topo) as address:
        settings = {"TOPO_API_URL": f"{address}/v1", "TOPO_WAREHOUSE": "topo.duckdb"}
        estimate = json.loads(answer(tmp_path, "backfill", *RANGE, "--dry-run", "--json", **settings).stdout)
    assert estimate["new"] == ["2026-03-01", "2026-03-03", "2026-03-04"]
    assert estimate["again"] == ["2026-03-02"]
    assert (estimate["activities"], estimate["requests"]) == (1234, 16)
    assert path_of(warehouse).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["topo.duckdb"]


def test_the_estimate_of_missing_days_counts_each_stretch_between_landed_days(tmp_path: Path, topo: Scripted) -> None:
    """A day that was read before its end is missing too."""
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    land_into(warehouse, reading(day=date(2026, 3, 2)))
    land_into(warehouse, reading(day=date(2026, 3, 4), is_open=True))
    with serve(topo) as address:
        settings = {"TOPO_API_URL": f"{address}/v1", "TOPO_WAREHOUSE": "topo.duckdb"}
        result = answer(tmp_path, "backfill", *RANGE, "--missing", "--dry-run", **settings)
    assert "3 days: 2026-03-01, 2026-03-03 to 2026-03-04 (1 already landed: 2026-03-04)" in result.stdout
    assert f"{2 * 1234:,} activities" in result.stdout
    asked = [request.params["created_at_before"][:10] for request in topo.requests]
    assert asked == ["2026-03-02", "2026-03-05"]


def test_a_refused_key_is_a_one_line_error(tmp_path: Path) -> None:
    with serve(Scripted(Answer({"message": "no"}, 401))) as address:
        result = answer(tmp_path, "backfill", *RANGE, "--dry-run", TOPO_API_URL=f"{address}/v1")
    assert_one_sentence(result, "check TOPO_API_KEY")


@pytest.mark.parametrize(("number", "expected"), [(1, "1 day"), (0, "0 days"), (1234, "1,234 days")])
def test_plurals_match_their_numbers(number: int, expected: str) -> None:
    assert counted(number, "day") == expected
