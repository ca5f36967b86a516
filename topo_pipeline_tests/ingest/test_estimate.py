"""`backfill --dry-run`: what would be read, by one request, with nothing changed."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from topo_pipeline.common.text import counted
from topo_pipeline.sandbox.server import serve
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.command_line import answer, assert_one_sentence
from topo_pipeline_tests.topo_api.helpers import Answer, Scripted, page_of
from topo_pipeline_tests.warehouse.builders import land_into, reading

RANGE = ("2026-03-01", "2026-03-04")


@pytest.fixture
def topo() -> Scripted:
    """Topo that counts 1,234 activities in whatever it is asked for."""
    return Scripted(Answer(page_of([], total=1234)))


def test_it_tells_how_much_there_is_by_one_request_and_makes_nothing(tmp_path: Path, topo: Scripted) -> None:
    with serve(topo) as address:
        result = answer(
            tmp_path, "backfill", *RANGE, "--dry-run", TOPO_API_URL=f"{address}/v1", TOPO_REQUESTS_PER_SECOND="2"
        )
    assert result.returncode == 0, result.stderr
    assert "4 days, 2026-03-01 to 2026-03-04 (none landed yet)" in result.stdout
    assert "1,234 activities" in result.stdout
    assert "about 16 requests" in result.stdout  # 12 full pages, and of each day a last one
    assert "at 2 per second need at least 0:00:08" in result.stdout
    assert list(tmp_path.iterdir()) == []
    [asked] = topo.requests
    assert asked.params["size"] == "1"
    after, before = (datetime.fromisoformat(asked.params[f"created_at_{end}"]) for end in ("after", "before"))
    assert before == datetime(2026, 3, 5, tzinfo=UTC)
    assert timedelta() < datetime(2026, 3, 1, tzinfo=UTC) - after <= timedelta(seconds=1)


def test_days_that_are_landed_are_read_again_and_stay_as_they_are(tmp_path: Path, topo: Scripted) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    for day in (date(2026, 3, 2), date(2026, 3, 9)):
        land_into(warehouse, reading(day=day))
    before = warehouse.path.read_bytes()
    with serve(topo) as address:
        settings = {"TOPO_API_URL": f"{address}/v1", "TOPO_WAREHOUSE": "topo.duckdb"}
        told = json.loads(answer(tmp_path, "backfill", *RANGE, "--dry-run", "--json", **settings).stdout)
    assert told["new"] == ["2026-03-01", "2026-03-03", "2026-03-04"]
    assert told["again"] == ["2026-03-02"]
    assert (told["activities"], told["requests"]) == (1234, 16)
    assert warehouse.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["topo.duckdb"]


def test_a_key_that_is_refused_ends_in_one_sentence(tmp_path: Path) -> None:
    with serve(Scripted(Answer({"message": "no"}, 401))) as address:
        result = answer(tmp_path, "backfill", *RANGE, "--dry-run", TOPO_API_URL=f"{address}/v1")
    assert_one_sentence(result, "check TOPO_API_KEY")


@pytest.mark.parametrize(("number", "says"), [(1, "1 day"), (0, "0 days"), (1234, "1,234 days")])
def test_numbers_agree_with_their_words(number: int, says: str) -> None:
    assert counted(number, "day") == says
