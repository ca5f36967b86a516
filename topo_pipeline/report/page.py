"""The report: one HTML file that opens from disk, asks nothing of anybody, and replaces the one before it at once."""

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
import vl_convert

from topo_pipeline.report import attention, charts, palette, queries, words
from topo_pipeline.report.attention import Quality
from topo_pipeline.report.findings import Label, facts, findings
from topo_pipeline.report.headline import VERDICTS, judged, not_yet
from topo_pipeline.warehouse.files import replacing

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

    from topo_pipeline.engagement.rules import Rules

FILE_NAME = "engagement_report.html"
_STRIP = 100  # the width of an interval's strip, in its own units


@dataclass(frozen=True)
class Published:
    """A report as written.

    Attributes:
        path: the file.
        size: in bytes.
        as_of: the last day that its rates know; None where no day is complete.
        sequences: how many it shows.
    """

    path: Path
    size: int
    as_of: date | None
    sequences: int


@dataclass(frozen=True)
class Page:
    """A report as rendered, and what is to be said of it."""

    html: str
    as_of: date | None = None
    sequences: int = 0


def publish(
    connection: "DuckDBPyConnection", folder: Path, *, timezone: str, rules: "Rules", now: datetime
) -> Published:
    """Write the report of what the tables hold now into `folder`, as `engagement_report.html`.

    Args:
        connection: one of `Warehouse.reader()`; the tables may be empty, or not be there.
        folder: made where it is missing.
        timezone: the reporting zone (IANA).
        rules: the rules that the tables were made by.
        now: said to be when the report was written.

    Raises:
        OSError: the folder can't be written.
        WarehouseError: something that is not a regular file has the report's name.
    """
    page = render(connection, timezone=timezone, rules=rules, now=now)
    path = folder / FILE_NAME
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.write_text(page.html, encoding="utf-8")
    return Published(path, path.stat().st_size, page.as_of, page.sequences)


def render(connection: "DuckDBPyConnection", *, timezone: str, rules: "Rules", now: datetime) -> Page:
    """Make the report of what the tables hold; see `publish`."""
    local = now.astimezone(ZoneInfo(timezone))
    about = {"timezone": timezone, "written": f"{words.day(local.date())}, {local:%H:%M}", "rules": rules}
    missing = queries.missing_tables(connection)
    if missing:
        return Page(_html({**about, "missing": missing}))
    quality, board = attention.quality(connection, timezone), queries.sequences(connection)
    shown = {"quality": quality, "facts": facts(quality), "missing": missing}
    if not board.empty:
        shown |= _shown(connection, quality, board, rules)
    return Page(_html(about | shown), quality.as_of, len(board))


def _shown(connection: "DuckDBPyConnection", quality: Quality, board: "pd.DataFrame", rules: "Rules") -> dict[str, Any]:
    """What the template shows of a workspace that has something to show."""
    labels = _labels(board)
    weeks = queries.weekly_rates(connection, rules)
    steps = queries.steps(connection)
    frames = {
        "daily": queries.daily(connection),
        "weekly": queries.of_outcome(weeks, "reply_rate"),
        "curve": queries.reply_curve(connection, rules),
        "channels": queries.channels(connection),
    }
    first = board["sequence_id"][0]
    specs = {
        "daily": charts.daily_activity(frames["daily"], palette.IN_THE_PAGE),
        "weekly": charts.weekly_reply_rate(frames["weekly"], palette.IN_THE_PAGE),
        "curve": charts.time_to_reply(frames["curve"], palette.IN_THE_PAGE),
        "channels": charts.channel_split(frames["channels"][frames["channels"]["touches"] > 0], palette.IN_THE_PAGE),
        "funnel": charts.funnel(queries.funnel(board[:1]), palette.IN_THE_PAGE),
        "steps": charts.step_drop_off(steps[steps["sequence_id"] == first], palette.IN_THE_PAGE),
    }
    judgements = judged(weeks, evidence_small=rules.evidence_small)
    return {
        "judged": judgements,
        "not_yet": None if judgements else not_yet(quality, reply_window_days=rules.reply_window_days),
        "recent": _records(attention.recent_weeks(connection)),
        "findings": findings(connection, rules, _labelled(labels)),
        "board": [row | {"label": labels[row["sequence_id"]]} for row in _records(board)],
        "scale": _scale(board),
        "statuses": sorted({status for status in board["status"] if status}),
        "frames": {name: _records(frame) for name, frame in frames.items()},
        "data": {
            "charts": {name: chart.to_dict() for name, chart in specs.items()},
            "sequences": _pickable(board, steps, labels),
        },
    }


def _labels(board: "pd.DataFrame") -> dict[str | None, str]:
    """What each sequence is called; names that several have are told apart by the beginning of the id."""
    ids = board["sequence_id"]
    names = [words.label(name, id_) for name, id_ in zip(board["name"], ids, strict=True)]
    again = Counter(names)
    return {
        id_: f"{name} ({id_[:8]})" if id_ and again[name] > 1 else name for id_, name in zip(ids, names, strict=True)
    }


def _labelled(labels: Mapping[str | None, str]) -> Label:
    return lambda id_: labels.get(id_) or words.label(None, id_)


def _scale(board: "pd.DataFrame") -> float:
    """The rate at the right end of the leaderboard's strips: room for all that can be told."""
    told = board[~board["evidence"].isin(["none", "too_small"])]["high"]
    return float(told.max()) if len(told) else 1.0


def _pickable(board: "pd.DataFrame", steps: "pd.DataFrame", labels: Mapping[str | None, str]) -> list[dict[str, Any]]:
    """Each sequence with the rows of its own charts."""
    of: dict[str | None, list[dict[str, Any]]] = {}
    for step in _records(steps):
        of.setdefault(step.pop("sequence_id"), []).append(step)
    return [
        {
            "label": labels[row["sequence_id"]],
            "facts": _facts(row),
            "funnel": queries.stages(row),
            "steps": of.get(row["sequence_id"], []),
        }
        for row in _records(board)
    ]


def _facts(row: Mapping[str, Any]) -> str:
    """A sequence in a line."""
    rate = f"reply rate {words.percent(row['rate'])} ({words.between(row['low'], row['high'])})"
    told = [
        *([row["status"].capitalize()] if row["status"] else []),
        f"{words.many(row['unique_sent'], 'contact')} messaged",
        rate if words.known(row["rate"]) else "no reply rate yet",
        words.EVIDENCE[row["evidence"]].lower() if words.known(row["rate"]) else "its contacts' time is not over",
        f"{words.count(row['runs_active'])} still in it",
    ]
    return " · ".join(told)


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as the template and JSON take them: what is not known is None."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _html(shown: Mapping[str, Any]) -> str:
    """The page with its own scripts and style; its policy names them by their hashes and allows nothing else."""
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
    environment.globals |= {"words": words, "VERDICTS": VERDICTS, "DAYS_SHOWN": queries.DAYS_SHOWN, "STRIP": _STRIP}
    return environment.get_template("page.html.jinja")


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed, of the version that the charts are written for."""
    major, minor = alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2]
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"{major}.{minor}")
    return script


@cache
def _file(name: str) -> str:
    return (importlib.resources.files("topo_pipeline.report") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
