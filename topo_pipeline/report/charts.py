"""The charts of the report, all in one style.

`charts.json` has a Vega-Lite specification of each, whose colours are the page's CSS variables: they follow its theme,
also in print. The functions here put in the rows and what depends on them. A chart is as wide as the element that
contains it ("container").
"""

import importlib.resources
import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from string import Template
from typing import Any

from topo_pipeline.report.palette import FONT
from topo_pipeline.warehouse.sql import Row

Chart = dict[str, Any]

DAILY = {"sent": "Messages sent", "replies": "Replies", "meetings": "Meetings booked"}
MANY_DAYS, MANY_WEEKS = 120, 26  # above these, marks are finer


def daily_activity(days: Sequence[Row]) -> Chart:
    """Draw the messages, replies and meetings of each day in three plots, each with its own scale.

    Columns: day, sent, replies, meetings, is_landed. The counts of a day that no table has are None.
    """
    views = []
    for measure, title in DAILY.items():
        [missing, bars] = _specification("daily_activity", measure=measure, title=title)["layer"]
        bars["mark"]["binSpacing"] = 0.5 if len(days) <= MANY_DAYS else 0
        if measure == [*DAILY][-1]:  # the plots share its labels
            bars["encoding"]["x"]["axis"] |= {"labels": True, "ticks": True}
        if not any(day[measure] for day in days):
            bars["encoding"]["y"]["scale"] = {"domain": [0, 1]}
        layer = [bars] if all(day["sent"] is not None for day in days) else [missing, bars]
        views.append({"layer": layer, "height": 84, "width": 720, "title": title})
    return _styled({"vconcat": views, "spacing": 14, "resolve": {"scale": {"x": "shared"}}}, days)


def weekly_reply_rate(weeks: Sequence[Row]) -> Chart:
    """Draw the reply rate of each week of first messages or invitations, with its Wilson interval as a band.

    A point is hollow if the evidence is too small or days are missing.
    Columns: week_start, num, den, rate, low, high, evidence, is_mature.
    """
    chart = _chart("weekly_reply_rate", weeks)
    mondays = [row["week_start"] for row in weeks]
    chart["encoding"]["x"]["axis"]["values"] = [{"year": m.year, "month": m.month, "date": m.day} for m in mondays]
    chart["layer"][-1]["mark"]["size"] = 64 if len(weeks) <= MANY_WEEKS else 16
    return chart


def send_times(cells: Sequence[Row]) -> Chart:
    """Draw the messages of each weekday and hour: darker with a higher reply rate, pale without enough for a rate.

    Columns: weekday, hour, sends, num, den, rate. The page puts in the cells of the selected sequence.
    """
    return _chart("send_times", cells)


@cache
def specifications() -> dict[str, Any]:
    """Return the file of the specifications: by name, and the version of Vega-Lite (`$schema`) and style of all."""
    text = (importlib.resources.files("topo_pipeline.report") / "charts.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _specification(name: str, **values: str) -> Chart:
    text = Template(json.dumps(specifications()[name])).safe_substitute(values)
    found: Chart = json.loads(text)
    return found


def _chart(name: str, rows: Sequence[Row]) -> Chart:
    chart = _specification(name) | {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    return _styled(chart, rows)


def _styled(chart: Chart, rows: Sequence[Row]) -> Chart:
    """Return the chart of these rows in the style of the report."""
    config = specifications()["config"] | {"font": FONT}
    values = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return chart | {"$schema": specifications()["$schema"], "config": config, "data": {"values": values}}


def _plain(value: object) -> object:
    """Return a value as JSON has it. Days have no zone, so that every browser shows the same day."""
    return f"{value:%Y-%m-%dT00:00:00}" if isinstance(value, datetime) else value
