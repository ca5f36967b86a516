"""Charts are valid, work with little or no data, and use the colours of their palette."""

import json
from collections.abc import Callable

import pandas as pd
import pytest
import vl_convert

from topo_pipeline.report import charts
from topo_pipeline.report.palette import DARK, IN_THE_PAGE, LIGHT, Palette

DAYS = pd.DataFrame(
    {
        "day": pd.to_datetime(["2026-03-01", "2026-03-02", "2026-03-03"]),
        "sent": [5, None, 7],
        "replies": [0, None, 0],
        "meetings": [0, None, 1],
        "is_landed": [True, False, True],
    }
)
WEEKS = pd.DataFrame(
    {
        "week_start": pd.to_datetime(["2026-03-02", "2026-03-09"]),
        "num": [9, 0],
        "den": [120, 3],
        "rate": [0.075, 0.0],
        "low": [0.04, 0.0],
        "high": [0.136, 0.56],
        "evidence": ["usable", "too_small"],
        "is_mature": [True, True],
    }
)
CELLS = pd.DataFrame(
    {"weekday": [1, 5], "hour": [9, 16], "sends": [45, 7], "num": [3, 0], "den": [40, 7], "rate": [0.075, None]}
)
CHANNELS = pd.DataFrame({"channel": ["Email", "LinkedIn"], "touches": [12, 4], "share": [0.75, 0.25]})
STAGES = pd.DataFrame(
    {"stage": ["Enrolled", "Messaged or invited", "Replied"], "runs": [9, 8, 0], "share": [None, None, 0.0]}
)
STEPS = pd.DataFrame(
    {
        "step": ["Step 1 · Email", "Send 2 · LinkedIn"], "runs_reached": [9, 4], "went_on": [4, 0],
        "exits_replied": [1, 0], "exits_completed": [1, 4], "exits_stopped": [1, 0], "exits_active": [2, 0],
    }
)  # fmt: skip
CASES = {
    "daily": (charts.daily_activity, DAYS),
    "weekly": (charts.weekly_reply_rate, WEEKS),
    "timing": (charts.send_times, CELLS),
    "channels": (charts.channel_split, CHANNELS),
    "funnel": (charts.funnel, STAGES),
    "steps": (charts.step_drop_off, STEPS),
}
Draw = Callable[[pd.DataFrame, Palette], charts.Chart]


def svg(chart: charts.Chart) -> str:
    drawn: str = vl_convert.vegalite_to_svg(json.dumps(chart.to_dict()))
    return drawn


@pytest.mark.parametrize("name", CASES)
def test_a_chart_uses_only_the_colours_of_its_palette(name: str) -> None:
    draw, frame = CASES[name]
    for palette, other in ((LIGHT, DARK), (DARK, LIGHT)):
        drawn = svg(draw(frame, palette))
        assert palette.accent in drawn
        assert palette.muted in drawn
        assert other.accent not in drawn
    assert "#" not in json.dumps(draw(frame, IN_THE_PAGE).to_dict())  # only the page's CSS variables


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rows", [0, 1])
def test_a_chart_can_be_drawn_with_one_row_or_none(name: str, rows: int) -> None:
    draw, frame = CASES[name]
    assert svg(draw(frame[:rows], LIGHT)).startswith("<svg")


def test_a_funnel_keeps_the_order_of_its_stages() -> None:
    drawn = svg(charts.funnel(STAGES))
    assert [drawn.index(f">{stage}<") for stage in STAGES["stage"]] == sorted(
        drawn.index(f">{stage}<") for stage in STAGES["stage"]
    )


def test_a_missing_day_is_shaded() -> None:
    assert LIGHT.missing in svg(charts.daily_activity(DAYS))
    assert LIGHT.missing not in svg(charts.daily_activity(DAYS[DAYS["is_landed"]]))


def test_a_week_with_too_little_evidence_has_a_hollow_point() -> None:
    points = svg(charts.weekly_reply_rate(WEEKS)).split("mark-symbol")[1].split("</g>")[0]
    assert [f'fill="{colour}"' in points for colour in (LIGHT.accent, LIGHT.card)] == [True, True]
    sure = svg(charts.weekly_reply_rate(WEEKS[:1])).split("mark-symbol")[1].split("</g>")[0]
    assert f'fill="{LIGHT.card}"' not in sure


def test_an_hour_with_few_messages_has_a_number_and_no_colour() -> None:
    drawn = svg(charts.send_times(CELLS))
    assert drawn.count(f'fill="{LIGHT.missing}"') == 2
    assert drawn.count(f'fill="{LIGHT.accent}"') == 1
    assert [f">{number}</text>" in drawn for number in (45, 7)] == [True, True]
    assert [f">{day}<" in drawn for day in ("Mon", "Fri", "Sun")] == [True] * 3
