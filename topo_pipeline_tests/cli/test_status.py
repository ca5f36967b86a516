"""The command `status`, as text and as JSON."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from topo_pipeline.cli import status
from topo_pipeline.cli.console import quiet
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.report.advice import advice
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.cli.conftest import NAME
from topo_pipeline_tests.command_line import answer, assert_one_sentence, run
from topo_pipeline_tests.warehouse.worker import worker


@pytest.mark.parametrize("name", ["\x1b[2J\x9b31m red \u202e", "x" * 10_000])
def test_a_hostile_name_is_printed_without_control_characters_and_shortened(landed: Path, name: str) -> None:
    with Warehouse(str(landed / "topo.duckdb")).transaction() as connection:
        connection.execute("UPDATE engagement.sequence_summary SET sequence_name = ?", [name])
    shown = [answer(landed, "status", *how, TOPO_WAREHOUSE="topo.duckdb").stdout for how in ([], ["--json"])]
    assert all(character.isprintable() or character == "\n" for text in shown for character in text)
    assert max(map(len, shown[0].splitlines())) < 300
    assert {row["sequence"] for row in json.loads(shown[1])["sequences"]} == {name}


def test_status_shows_the_last_complete_day_and_five_sequences_untruncated_in_a_pipe(landed: Path) -> None:
    result = answer(landed, "status", TOPO_WAREHOUSE="topo.duckdb", COLUMNS="80")
    assert result.returncode == 0
    assert "2026-03-01" in next(line for line in result.stdout.splitlines() if line.startswith("Complete up to"))
    [first] = [line for line in result.stdout.splitlines() if NAME in line]
    assert first.split(NAME)[1].split()[:2] == ["9", "0"]
    assert [name in result.stdout for name in ("Sequence 4", "Sequence 5")] == [True, False]
    assert "\x1b" not in result.stdout
    assert "Why one has no rank or is not judged: topo-pipeline explain NAME" in result.stdout


def test_status_says_what_to_do_in_the_words_of_the_report(landed: Path) -> None:
    with Warehouse(str(landed / "topo.duckdb")).transaction() as connection:
        connection.execute(
            "UPDATE engagement.sequence_channels SET tracking_off = true WHERE period = '28d' AND sequence_template_id"
            " = (SELECT id FROM topo.sequence_templates WHERE name = 'Sequence 1')"
        )
        said = advice(connection, DEFAULT_RULES)
    assert said is not None
    [first] = [each for each in said if "tracking" in each.claim]
    assert first.claim == "Email tracking seems to be off for “\u2068Sequence 1\u2069”."
    shown = answer(landed, "status", TOPO_WAREHOUSE="topo.duckdb").stdout
    assert f"Email tracking seems to be off for “Sequence 1”. {first.action}" in " ".join(shown.split())
    [listed] = [
        each
        for each in json.loads(answer(landed, "status", "--json", TOPO_WAREHOUSE="topo.duckdb").stdout)["to_do"]
        if "tracking" in each["claim"]
    ]
    assert (listed["action"], listed["sequence_id"]) == (first.action, first.sequence_id)


def test_json_has_every_sequence(landed: Path) -> None:
    result = answer(landed, "status", "--json", TOPO_WAREHOUSE="topo.duckdb")
    output = json.loads(result.stdout)
    assert (output["first"], output["complete"], output["days"]) == ("2026-03-01", "2026-03-01", 1)
    assert datetime.fromisoformat(output["read_at"]).utcoffset() == timedelta()
    assert "T" in output["read_at"]
    assert output["missing"][0] == "2026-03-02"
    assert [row["sequence"] for row in output["sequences"]][0] == NAME
    assert len(output["sequences"]) == 6
    assert output["sequences"][0]["reply_rate"] is None


def test_status_does_not_import_dagster(landed: Path) -> None:
    """Importing it takes longer than everything else that the command does."""
    code = "import sys; from topo_pipeline.cli import app; app(['status'], standalone_mode=False)"
    result = run(landed, sys.executable, "-c", f"{code}; print('dagster' in sys.modules)", TOPO_WAREHOUSE="topo.duckdb")
    assert result.stdout.startswith("Complete up to"), result.stderr
    assert result.stdout.endswith("\nFalse\n")


def test_status_without_landed_days_says_what_to_do(tmp_path: Path) -> None:
    Warehouse(str(tmp_path / "topo.duckdb")).prepare()
    result = answer(tmp_path, "status", TOPO_WAREHOUSE="topo.duckdb")
    assert (result.returncode, "topo-pipeline backfill" in result.stdout) == (0, True)


def test_status_without_a_warehouse_is_an_error_and_creates_none(tmp_path: Path) -> None:
    assert_one_sentence(answer(tmp_path, "status"), "no warehouse")
    assert list(tmp_path.iterdir()) == []


@contextmanager
def held_by_another_process(path: Path) -> Iterator[int]:
    """Let another process hold the warehouse; yield its process id."""
    with worker(Warehouse(str(path)), "hold", date(2026, 3, 1)) as holder:
        holder.expect("inside")
        yield holder.process.pid
        holder.resume()


def test_status_names_the_process_that_holds_the_warehouse(landed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PATIENCE", 0.01)
    with held_by_another_process(landed / "topo.duckdb") as process:
        result = answer(landed, "status", TOPO_WAREHOUSE="topo.duckdb")
    assert_one_sentence(result, f"process {process}", "topo.duckdb")


def test_quiet_suppresses_log_messages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("topo_pipeline.any")
    with quiet():
        log.warning("trying again")
    log.warning("afterwards")
    assert caplog.messages == ["afterwards"]


@pytest.mark.parametrize(
    ("hours", "says"), [(0.2, "less than an hour ago"), (1.2, "1 hour ago"), (5, "5 hours ago"), (72, "3 days ago")]
)
def test_time_since_a_read_is_rounded(hours: float, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 3, 5, tzinfo=UTC)
    monkeypatch.setattr(status, "now", lambda: now)
    assert status._ago(now - timedelta(hours=hours)) == says
