"""Days on the command line: dates, words and spans, in the reporting time zone."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
import typer

from topo_pipeline.cli import arguments
from topo_pipeline.settings import get_settings

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
        ("status --organization", "--organization"),
        ("", ""),
    ],
)
def test_options_of_all_commands_may_come_after_one_and_those_of_one_before_it(words: str, expected: str) -> None:
    assert arguments.in_order(words.split()) == expected.split()
