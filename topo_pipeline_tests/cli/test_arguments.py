"""Days on the command line: dates, words and spans, in the reporting time zone."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import typer

from topo_pipeline.cli import arguments
from topo_pipeline.settings import get_settings
from topo_pipeline_tests.command_line import answer, assert_one_sentence

AFTER_MIDNIGHT_IN_PARIS = datetime(2026, 3, 9, 23, 30, tzinfo=UTC)


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets the reporting time zone."""

    def set_zone(zone: str) -> None:
        monkeypatch.setenv("TOPO_TIMEZONE", zone)
        monkeypatch.setenv("TOPO_START_DATE", "2026-03-01")
        monkeypatch.setattr(arguments, "now", lambda: AFTER_MIDNIGHT_IN_PARIS)
        get_settings.cache_clear()

    return set_zone


@pytest.mark.parametrize(("zone", "today"), [("UTC", 9), ("Europe/Paris", 10), ("America/New_York", 9)])
def test_today_and_yesterday_are_days_of_the_reporting_time_zone(
    in_zone: Callable[[str], None], zone: str, today: int
) -> None:
    in_zone(zone)
    assert arguments.day("today") == date(2026, 3, today)
    assert arguments.day("yesterday") == date(2026, 3, today - 1)
    assert arguments.last("1d") == (date(2026, 3, today - 1), date(2026, 3, today - 1))


@pytest.mark.parametrize(("span", "first"), [("3d", 6), ("1w", 2), ("8d", 1), ("9d", 1), ("52w", 1)])
def test_a_span_ends_yesterday_and_begins_no_earlier_than_the_first_partition(
    in_zone: Callable[[str], None], span: str, first: int
) -> None:
    in_zone("UTC")
    assert arguments.last(span) == (date(2026, 3, first), date(2026, 3, 8))


@pytest.mark.parametrize("text", ["20260301", "2026-W10-1", "2026-3-1", "2026-02-30", "٢٠٢٦-٠٣-٠١", ""])
def test_a_date_has_one_spelling(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        arguments.day(text)
    assert "is not a date. Use YYYY-MM-DD, today or yesterday." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("status --organization acme --json", "--organization acme status --json"),
        ("status --organization=acme", "--organization=acme status"),
        ("--organization acme status", "--organization acme status"),
        ("--demo status --json", "status --demo --json"),
        ("--demo --organization acme status", "--organization acme status --demo"),
        ("explain -- --organization acme", "explain -- --organization acme"),
        ("--demo", "--demo"),
        ("sequences --search=--organization", "sequences --search=--organization"),
        ("", ""),
    ],
)
def test_an_organization_may_come_after_the_command_and_demo_before_it(words: str, expected: str) -> None:
    assert arguments.with_options_moved(words.split()) == expected.split()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--organization", "acme", "restore", "b", "--organization", "globex"], "with several names: acme, globex."),
        (["--organization", "acme", "--organization=globex", "status"], "with several names: acme, globex."),
        (["--organization", "", "status"], "--organization has an empty name."),
        (["status", "--organization="], "--organization has an empty name."),
        (["status", "--organization"], "--organization needs a name"),
        (["sequences", "--search", "--organization"], "--organization needs a name"),
        (["--organization", "nosuch", "--demo", "status"], "The demo has no organizations."),
        (["--organization", "acme", "doctor", "--demo"], "The demo has no organizations."),
        (["dev", "--demo", "--organization", "acme"], "The demo has no organizations."),
        (["demo", "--organization", "acme"], "The demo has no organizations."),
    ],
)
def test_an_organization_that_cannot_be_meant_is_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    done = answer(tmp_path, *words)
    assert_one_sentence(done, sentence)
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_name_may_be_given_twice(tmp_path: Path) -> None:
    done = answer(tmp_path, "--organization", "acme", "status", "--organization", "acme")
    assert_one_sentence(done, "There is no organizations.toml in this folder")


def test_completing_the_name_of_an_organization_is_no_error(tmp_path: Path) -> None:
    words = {"_TOPO_PIPELINE_COMPLETE": "complete_bash", "COMP_WORDS": "topo-pipeline status --organization "}
    done = answer(tmp_path, **words, COMP_CWORD="3")
    assert done.stderr == ""
