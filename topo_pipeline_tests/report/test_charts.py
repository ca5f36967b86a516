"""Charts are valid, work with little or no data, and use the page's colours."""

import json
import re
from datetime import UTC, datetime

import pytest
import vl_convert

from topo_pipeline.report import bundle, charts
from topo_pipeline.report.palette import COLOURS

DAYS = [
    {"day": datetime(2026, 3, day, tzinfo=UTC), "is_landed": True, "sent": 5, "replies": 0, "meetings": 0}
    for day in (1, 2, 3)
]
DAYS[1] |= {"is_landed": False, "sent": None, "replies": None, "meetings": None}
WEEK = {"num": 9, "den": 120, "rate": 0.075, "low": 0.04, "high": 0.136, "evidence": "usable", "is_mature": True}
WEEKS = [
    {"week_start": datetime(2026, 3, 2, tzinfo=UTC)} | WEEK,
    {"week_start": datetime(2026, 3, 9, tzinfo=UTC)} | WEEK | {"evidence": "too_small"},
]
CELLS = [
    {"weekday": 1, "hour": 9, "sends": 45, "num": 3, "den": 40, "rate": 0.075},
    {"weekday": 5, "hour": 16, "sends": 7, "num": 0, "den": 7, "rate": None},
]
CASES = {
    "daily": (charts.daily_activity, DAYS),
    "weekly": (charts.weekly_reply_rate, WEEKS),
    "timing": (charts.send_times, CELLS),
}


def svg(chart: charts.Chart) -> str:
    drawn: str = vl_convert.vegalite_to_svg(json.dumps(chart))
    return drawn


@pytest.mark.parametrize("name", CASES)
def test_a_chart_uses_only_the_colours_of_the_page(name: str) -> None:
    draw, data = CASES[name]
    chart = draw(data)
    assert {"accent", "muted"} <= set(re.findall(r"var\(--(\w+)\)", svg(chart))) <= COLOURS.keys()
    assert "#" not in json.dumps(chart)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rows", [0, 1])
def test_a_chart_can_be_drawn_with_one_row_or_none(name: str, rows: int) -> None:
    draw, data = CASES[name]
    assert svg(draw(data[:rows])).startswith("<svg")


def test_a_missing_day_is_shaded() -> None:
    assert "var(--missing)" in svg(charts.daily_activity(DAYS))
    assert "var(--missing)" not in svg(charts.daily_activity([day for day in DAYS if day["is_landed"]]))


def test_a_week_with_too_little_evidence_has_a_hollow_point() -> None:
    points = svg(charts.weekly_reply_rate(WEEKS)).split("mark-symbol")[1].split("</g>")[0]
    assert [f'fill="{colour}"' in points for colour in ("var(--accent)", "var(--card)")] == [True, True]
    sure = svg(charts.weekly_reply_rate(WEEKS[:1])).split("mark-symbol")[1].split("</g>")[0]
    assert 'fill="var(--card)"' not in sure


def test_an_hour_with_few_messages_has_a_number_and_no_colour() -> None:
    drawn = svg(charts.send_times(CELLS))
    assert drawn.count('fill="var(--missing)"') == 2
    assert drawn.count('fill="var(--accent)"') == 1
    assert [f">{number}</text>" in drawn for number in (45, 7)] == [True, True]
    assert [f">{day}<" in drawn for day in ("Mon", "Fri", "Sun")] == [True] * 3


def test_the_script_in_the_package_is_that_of_the_installed_vl_convert() -> None:
    assert bundle.packed() == bundle.make(), "run make bundle"
