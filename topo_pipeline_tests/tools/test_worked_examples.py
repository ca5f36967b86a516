"""The worked examples of docs/metrics.md: each number in bold is the one that its query returns in the demo."""

import json
import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import duckdb
import pytest

from tools.demo_tables import AS_OF, write_demo
from tools.worked_examples import BOLD, PAGE, examples, main, numbers_of, queries, updated, with_numbers
from topo_pipeline.sandbox import demo as simulated
from topo_pipeline.sandbox.world import World
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.crashes.source import payload_of
from topo_pipeline_tests.warehouse.builders import ask, landing_in, reading

ON_PAGE = examples(PAGE.read_text(encoding="utf-8"))
MIDNIGHT = datetime.combine(AS_OF, time.min, UTC)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return write_demo(str(tmp_path_factory.mktemp("demo") / "topo.duckdb"))


@pytest.mark.parametrize("title", ON_PAGE, ids=". ".join)
def test_the_numbers_of_an_example_are_those_of_the_demo(title: tuple[str, str], demo: Warehouse) -> None:
    with demo.reader() as connection:
        right = with_numbers(ON_PAGE[title], numbers_of(connection, queries()[title]))
    pairs = zip(BOLD.findall(ON_PAGE[title]), BOLD.findall(right), strict=True)
    stale = [f"{old} should be {new}" for old, new in pairs if old != new]
    if stale:
        example = f"Example {'. '.join(title)} in docs/metrics.md"
        advice = "Run make docs, and check that the sentences are still true"
        pytest.fail(f"{example}: {', '.join(stale)}. {advice}:\n{right}", pytrace=False)


def test_the_examples_are_numbered_and_each_has_a_query() -> None:
    assert [number for number, _ in ON_PAGE] == [str(n) for n in range(1, 14)]
    assert list(queries()) == list(ON_PAGE)


def test_the_demo_has_signals_and_forecasts(demo: Warehouse) -> None:
    judged = "SELECT count(*) FROM engagement.sequence_signals WHERE scope = 'sequence' AND signal IS NOT NULL"
    assert ask(demo, judged)[0][0] >= 5
    forecasts = dict(
        ask(
            demo,
            "SELECT outcome, (expected > 0, expected_low IS NOT NULL) FROM engagement.sequence_forecast"
            " WHERE scope = 'workspace' AND horizon_days = 7",
        )
    )
    assert forecasts == {"valid_reply": (True, True), "meeting": (True, False)}


def test_the_page_names_the_day_of_the_demo() -> None:
    assert f"run on {AS_OF:%A, %-d %B %Y}." in " ".join(PAGE.read_text(encoding="utf-8").split())


def test_numbers_replace_those_in_bold_in_order() -> None:
    written = with_numbers("**1** of **2,000**: **9%**, **x**.", (3, 4000, 0.0625, None))
    assert written == "**3** of **4,000**: **6.2%**, **–**."
    with pytest.raises(ValueError, match="2 numbers are in bold, but the query returns 1"):
        with_numbers("**1** of **2**", (3,))


def test_a_query_without_a_row_is_an_error() -> None:
    with duckdb.connect() as connection, pytest.raises(LookupError, match="returns 0 rows"):
        numbers_of(connection, "SELECT 1 WHERE false")


def test_only_the_examples_of_a_page_are_updated(demo: Warehouse) -> None:
    page = "**5** stays.\n\n1. *Total and unique.* **0** **0** **0** **0**\n   **0**.\n\n## **6** stays\n"
    with demo.reader() as connection:
        new = updated(page, connection)
    assert new.startswith("**5** stays.\n\n1. *Total and unique.* **")
    assert new.endswith(".\n\n## **6** stays\n")
    assert "**0**" not in new


def test_the_command_prints_the_examples_with_the_numbers_of_a_warehouse(
    demo: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    main(demo.name)
    printed = capsys.readouterr().out
    assert re.findall(r"^(\d+)\. (.+)$", printed, re.MULTILINE) == list(ON_PAGE)
    [(sent,)] = ask(
        demo, "SELECT total_sent FROM engagement.sequence_summary WHERE period = 'lifetime' AND reply_rank = 1"
    )
    assert f"Founders UK has {sent} messages in total" in printed
    assert "**" not in printed


def test_the_activities_are_those_that_a_load_would_land(demo: Warehouse, tmp_path: Path) -> None:
    world = World(simulated.SEED, scale=simulated.SCALE)
    landed = Warehouse(str(tmp_path / "topo.duckdb"))
    landed.prepare()
    days = [AS_OF - timedelta(days=ago) for ago in range(7, 0, -1)]
    with landing_in(landed) as (_, land):
        for day in days:
            start = datetime.combine(day, time.min, UTC)
            found = world.activities(start - timedelta(microseconds=1), start + timedelta(days=1))
            rows = [(each.id, each.created_at, json.dumps(payload_of(each, world, MIDNIGHT))) for each in found]
            land(reading(*rows, day=day))
    activities = (
        "SELECT * EXCLUDE (organization_id, payload, channel_source, landed_at, load_id) FROM topo.activities"
        " WHERE day >= ? ORDER BY id"
    )
    assert ask(demo, activities, days[0]) == ask(landed, activities, days[0])
    ledger = "SELECT day, rows, is_known FROM landed_days WHERE day >= ? ORDER BY day"
    assert ask(demo, ledger, days[0]) == ask(landed, ledger, days[0])
    assert len(ask(demo, "SELECT day FROM landed_days")) == simulated.DAYS
