"""The report: one HTML file that opens from disk and loads nothing. A new report replaces the old one atomically."""

import base64
import hashlib
import importlib.resources
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import altair as alt
import jinja2
import pandas as pd
import vl_convert

from topo_pipeline.common.text import counted, interval, percent, rate_with_interval
from topo_pipeline.report import attention, charts, palette, queries, words
from topo_pipeline.report.attention import Quality
from topo_pipeline.report.findings import facts, findings
from topo_pipeline.report.headline import VERDICTS, judged, not_yet
from topo_pipeline.report.queries import records
from topo_pipeline.warehouse.files import replacing

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from topo_pipeline.engagement.rules import Rules

FILE_NAME = "engagement_report.html"
_STRIP = 100  # width of the strip that shows an interval, in SVG units


@dataclass(frozen=True)
class Published:
    """A written report.

    Attributes:
        path: The file.
        size: In bytes.
        as_of: The last day that the rates cover. None if no day is over yet.
        sequences: The number of sequences.
    """

    path: Path
    size: int
    as_of: date | None
    sequences: int


@dataclass(frozen=True)
class Page:
    """A rendered report."""

    html: str
    as_of: date | None = None
    sequences: int = 0


def publish(
    connection: "DuckDBPyConnection", folder: Path, *, timezone: str, rules: "Rules", now: datetime
) -> Published:
    """Write the report from the current tables to `engagement_report.html` in `folder`.

    Args:
        connection: A connection of `Warehouse.reader()`. The tables may be empty or missing.
        folder: The folder. It is created if it is missing.
        timezone: The reporting time zone (IANA name).
        rules: The rules that the tables were built with.
        now: The time shown in the report as the time of writing.

    Raises:
        OSError: The folder can't be written.
        WarehouseError: The file exists and is not a regular file.
    """
    page = render(connection, timezone=timezone, rules=rules, now=now)
    path = folder / FILE_NAME
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.write_text(page.html, encoding="utf-8")
    return Published(path, path.stat().st_size, page.as_of, page.sequences)


def render(connection: "DuckDBPyConnection", *, timezone: str, rules: "Rules", now: datetime) -> Page:
    """Render the report from the current tables. See `publish`."""
    local = now.astimezone(ZoneInfo(timezone))
    about = {"timezone": timezone, "written": f"{words.day(local.date())}, {local:%H:%M}", "rules": rules}
    missing = queries.missing_tables(connection)
    if missing:
        return Page(_html({**about, "missing": missing}))
    quality, board = attention.quality(connection, timezone), queries.sequences(connection)
    shown = {"quality": quality, "facts": facts(quality), "missing": missing}
    if not board.empty:
        shown |= _shown(connection, quality, board, rules, timezone)
    return Page(_html(about | shown), quality.as_of, len(board))


def _shown(
    connection: "DuckDBPyConnection", quality: Quality, board: pd.DataFrame, rules: "Rules", timezone: str
) -> dict[str, Any]:
    """Return what the template shows of a workspace with at least one sequence."""
    rows = records(board)
    labels = _labels(rows)
    steps: dict[str | None, list[dict[str, Any]]] = {}
    for step in records(queries.steps(connection)):
        steps.setdefault(step.pop("sequence_id"), []).append(step)
    sequences = [
        {
            "label": labels[row["sequence_id"]],
            "facts": _facts(row),
            "funnel": queries.stages(row),
            "steps": steps.get(row["sequence_id"], []),
        }
        for row in rows
    ]
    weeks = queries.weekly_rates(connection, rules)
    frames = {
        "daily": queries.daily(connection),
        "weekly": queries.of_outcome(weeks, "reply_rate"),
        "curve": queries.reply_curve(connection, rules, timezone),
        "channels": queries.channels(connection),
    }
    drawn: dict[str, charts.Chart] = {
        "daily": charts.daily_activity(frames["daily"], palette.IN_THE_PAGE),
        "weekly": charts.weekly_reply_rate(frames["weekly"], palette.IN_THE_PAGE),
        "curve": charts.time_to_reply(frames["curve"], palette.IN_THE_PAGE),
        "channels": charts.channel_split(frames["channels"], palette.IN_THE_PAGE),
        "funnel": charts.funnel(pd.DataFrame(sequences[0]["funnel"]), palette.IN_THE_PAGE),
        "steps": charts.step_drop_off(pd.DataFrame(sequences[0]["steps"]), palette.IN_THE_PAGE),
    }
    judgements = judged(weeks, evidence_small=rules.evidence_small)
    return {
        "judged": judgements,
        "not_yet": None if judgements else not_yet(quality, reply_window_days=rules.reply_window_days),
        "recent": records(attention.recent_weeks(connection)),
        "findings": findings(connection, rules, labels),
        "board": [row | {"label": labels[row["sequence_id"]]} for row in rows],
        # The rate at the right end of the leaderboard's strips.
        "scale": max((row["high"] for row in rows if row["is_highlighted"]), default=1.0),
        "statuses": sorted({row["status"] for row in rows if row["status"]}),
        "frames": {name: records(frame) for name, frame in frames.items()},
        "data": {"charts": {name: chart.to_dict() for name, chart in drawn.items()}, "sequences": sequences},
    }


def _labels(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the name of each sequence by its id. A name that several have is followed by the start of the id."""
    names = {row["sequence_id"]: words.label(row["name"], row["sequence_id"]) for row in rows}
    uses = Counter(names.values())
    return {id_: f"{name} ({id_[:8]})" if uses[name] > 1 else name for id_, name in names.items()}


def _facts(row: Mapping[str, Any]) -> str:
    """Return one line about a sequence."""
    rate = rate_with_interval(row["rate"], row["low"], row["high"])
    facts_ = [
        *([row["status"].capitalize()] if row["status"] else []),
        f"{counted(row['unique_touched'], 'contact')} touched",
        f"reply rate {rate}" if row["rate"] is not None else "no reply rate yet",
        words.EVIDENCE[row["evidence"]].lower(),
        f"{words.count(row['runs_active'])} still active",
    ]
    return " · ".join(facts_)


def _html(shown: Mapping[str, Any]) -> str:
    """Return the page with its scripts and style. Its policy allows only these, by their hashes."""
    scripts = [_bundle(), _file("page.js")] if "data" in shown else [_file("page.js")]
    style = _file("page.css").replace("/* palette: light */", palette.LIGHT.as_css())
    style = style.replace("/* palette: dark */", palette.DARK.as_css()).replace(
        "/* font */", f"--font: {palette.FONT};"
    )
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)};"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _template().render({**shown, "scripts": scripts, "style": style, "policy": policy})


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("topo_pipeline", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"words": words, "percent": percent, "interval": interval, "counted": counted}
    environment.globals |= {"VERDICTS": VERDICTS, "DAYS_SHOWN": queries.DAYS_SHOWN, "STRIP": _STRIP}
    return environment.get_template("page.html.jinja")


@cache
def _bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed in the version that the charts are written for."""
    major, minor = alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2]
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"{major}.{minor}")
    return script


@cache
def _file(name: str) -> str:
    return (importlib.resources.files("topo_pipeline.report") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
