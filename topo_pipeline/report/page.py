"""The report: one HTML file that opens from disk and loads nothing. A new report replaces the old one atomically."""

import base64
import gzip
import hashlib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import jinja2

from topo_pipeline.common.commands import pasteable
from topo_pipeline.common.text import counted, percent, points
from topo_pipeline.days import last_due_day
from topo_pipeline.engagement import sentences
from topo_pipeline.engagement.explanation import explanations
from topo_pipeline.report import (
    archive,
    bundle,
    charts,
    data_facts,
    findings,
    formats,
    headlines,
    message,
    palette,
    queries,
    wording,
)
from topo_pipeline.report.glossary import glossary
from topo_pipeline.report.pairs import pairs
from topo_pipeline.report.queries import PERIODS, Sequence
from topo_pipeline.report.since import facts, since
from topo_pipeline.warehouse.files import replacing
from topo_pipeline.warehouse.sql import Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from topo_pipeline.engagement.rules import Rules

FILE_NAME = "engagement_report.html"
IN_SHORT = 20  # sequences of which paper has the most important sentences
_IN_SHORT = {"Rank", "Early read", "Change", "When more is known"}
_SOLID = {"usable": 2, "directional": 2, "too_small": 1, "none": 0}


@dataclass(frozen=True)
class Published:
    """A written report.

    Attributes:
        path: The file.
        url: Where it can be opened.
        size: In bytes.
        as_of: The last day that the rates cover. None if no day is over yet.
        sequences: The number of sequences.
        text: The Monday message.
        kept: The file that keeps it by its date, or the newest one if it has nothing to keep.
        to_do: What to do this week.
    """

    path: Path
    url: str
    size: int
    as_of: date | None
    sequences: int
    text: str
    kept: Path
    to_do: tuple[wording.Said, ...] = ()


@dataclass(frozen=True)
class Page:
    """A rendered report, its message, and its facts if there is a sequence."""

    html: str
    text: str
    as_of: date | None = None
    sequences: int = 0
    facts: archive.Facts | None = None
    to_do: tuple[wording.Said, ...] = ()


@dataclass(frozen=True)
class Rate:
    """The one reply rate of a sequence and period in the table.

    Attributes:
        kind: final, early, or so_far (counts without a rate).
        num: Contacts who replied.
        den: Contacts.
        rate: The share. None if the kind is so_far.
        low: Lower end of its range.
        high: Upper end of its range.
        evidence: Of the rate.
    """

    kind: str
    num: int
    den: int
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    evidence: str = "none"

    @property
    def solid(self) -> int:
        """The order of the evidence: 2 is solid or rough, 1 is few, 0 is none."""
        return _SOLID[self.evidence]


def publish(
    connection: "DuckDBPyConnection",
    folder: Path,
    *,
    timezone: str,
    rules: "Rules",
    now: datetime,
    url: str | None = None,
    organization: str | None = None,
) -> Published:
    """Write the report from the current tables to `engagement_report.html` in `folder`, and keep it by its date.

    Args:
        connection: A connection of `Warehouse.reader()`. The tables may be empty or missing.
        folder: The folder. It is created if it is missing.
        timezone: The reporting time zone (IANA name).
        rules: The rules that the tables were built with.
        now: The time shown in the report as the time of writing.
        url: Where others can open the report. By default its path.
        organization: Shown in the title, if there are several.

    Raises:
        OSError: The folder can't be written.
        WarehouseError: The file exists and is not a regular file.
    """
    page = render(connection, folder, timezone=timezone, rules=rules, now=now, url=url, organization=organization)
    path = folder / FILE_NAME
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.write_text(page.html, encoding="utf-8")
    kept = archive.keep(folder, page.html, page.facts) if page.facts else path
    where = url or path.resolve().as_uri()
    return Published(path, where, path.stat().st_size, page.as_of, page.sequences, page.text, kept, page.to_do)


def render(
    connection: "DuckDBPyConnection",
    folder: Path,
    *,
    timezone: str,
    rules: "Rules",
    now: datetime,
    url: str | None = None,
    organization: str | None = None,
) -> Page:
    """Render the report from the current tables, and compare it with those kept in `folder`. See `publish`."""
    zone = ZoneInfo(timezone)
    local = now.astimezone(zone)
    shown: dict[str, Any] = {"timezone": timezone, "written": f"{sentences.day(local.date())}, {local:%H:%M}"}
    title = f"Engagement report of {organization}" if organization else "Engagement report"
    shown |= {"title": title, "rules": rules, "missing": queries.missing_tables(connection)}
    shown |= {"read_days": pasteable("topo-pipeline backfill --last 4w")}
    where = url or str(folder / FILE_NAME)
    if shown["missing"]:
        return Page(_html(shown), message.text(shown, local.date(), where))
    quality = queries.quality(connection, timezone, last_due_day(now, zone))
    sequences = queries.sequences(connection, rules)
    shown |= {"quality": quality, "facts": data_facts.facts(quality)}
    if not sequences:
        return Page(_html(shown), message.text(shown, local.date(), where), quality["as_of"])
    found = findings.find(connection, rules)
    shown |= _shown(connection, quality, sequences, found, rules)
    now_said = facts(connection, shown, found, rules, local.date())
    then_said, unreadable = archive.earlier(folder, local.date())
    shown["since"] = since(connection, now_said, then_said, shown["workspace"].weeks, unreadable)
    text, to_do = message.text(shown, local.date(), where), tuple(shown["to_do"])
    return Page(_html(shown), text, quality["as_of"], len(sequences), now_said, to_do)


def _shown(
    connection: "DuckDBPyConnection",
    quality: Row,
    sequences: dict[str, Sequence],
    found: list[findings.Finding],
    rules: "Rules",
) -> dict[str, Any]:
    """Return what the template shows of a workspace with at least one sequence."""
    names = formats.labels({id_: each.ever["name"] for id_, each in sequences.items()})
    workspace = queries.workspace(connection)
    rates = {id_: {period: _rate(each, period) for period in PERIODS} for id_, each in sequences.items()}
    compared = pairs(connection, sequences, names, rules)
    said = wording.findings(found, names, rules)
    trend = [row for each in sequences.values() for row in each.trend]
    solid = [rate.high for each in rates.values() for rate in each.values() if rate.solid > 1 and rate.high]
    return {
        "nothing": wording.nothing(is_compared=bool(compared)),
        "glossary": glossary(rules),
        "to_do": said[: wording.TO_DO],
        "more_to_do": said[wording.TO_DO :],
        "workspace": workspace,
        "final": next((week for week in reversed(workspace.weeks) if week["is_mature"]), None),
        "change_of_all": wording.change_of_all(workspace.signals, found, names, rules),
        "not_yet": wording.not_yet(quality, rules.reply_window_days),
        "still_to_come": [
            sentences.forecast([row for row in workspace.forecasts if row["outcome"] == outcome])
            for outcome in dict.fromkeys(row["outcome"] for row in workspace.forecasts)
        ],
        "sequences": sequences,
        "names": names,
        "rates": rates,
        "rates_scale": max(solid, default=0.0),
        "trend_days": wording.trend_days(trend),
        "trend_weeks": max((row["weeks_ago"] for row in trend), default=0),
        "statuses": sorted({each.ever["status"] for each in sequences.values() if each.ever["status"]}),
        "explained": explanations(connection, rules),
        "compared": compared,
        "data": {
            "charts": {
                "weekly": charts.weekly_reply_rate(workspace.weeks) if workspace.weeks else None,
                "daily": charts.daily_activity(workspace.daily),
                "timing": charts.send_times([]),
            },
            "timing": [list(map(_cell, each.timing)) for each in sequences.values()],
            "compared": compared.data if compared else None,
        },
    }


def _rate(sequence: Sequence, period: str) -> Rate:
    """Return the rate of a sequence that is shown next to the counts of the period, as far as there is one.

    The contacts of the last 28 days have no final rate yet, so that period has the early read.
    """
    row, signals = sequence.periods[period], sequence.signals
    if row["den"] and period != "28d":
        return Rate("final", row["num"], row["den"], row["rate"], row["low"], row["high"], row["evidence"])
    if signals["early_rate"] is not None:
        bounds = (signals[f"early_rate{end}"] for end in ("", "_low", "_high", "_evidence"))
        return Rate("early", signals["early_rate_num"], signals["early_contacts"], *bounds)
    return Rate("so_far", row["replies"], row["touched"])


def _cell(row: Row) -> list[float]:
    """Return an hour of the week, its messages, and its rate if there is one, in as little space as possible."""
    cell = [24 * row["weekday"] + row["hour"], row["sends"], row["num"], row["den"]]
    return cell if row["rate"] is None else [*cell, row["rate"]]


def _html(shown: Mapping[str, Any]) -> str:
    """Return the page with its script and style. Its policy allows only these and Vega, by their hashes."""
    script = _file("page.js")
    packed = bundle.packed() if "data" in shown else b""
    scripts = [gzip.decompress(packed).decode(), script] if "data" in shown else [script]
    style = _file("page.css").replace("/* palette: light */", palette.LIGHT)
    style = style.replace("/* palette: dark */", palette.DARK).replace("/* font */", f"--font: {palette.FONT};")
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)};"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    values = {"script": script, "bundle": base64.b64encode(packed).decode(), "style": style, "policy": policy}
    return _template().render({**shown, **values})


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("topo_pipeline", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.globals |= {
        "headlines": headlines,
        "wording": wording,
        "sentences": sentences,
        "percent": percent,
        "counted": counted,
        "points": points,
    }
    environment.globals |= {name: getattr(formats, name) for name in ("count", "day", "days", "range_of", "week")}
    environment.globals |= {"PERIODS": PERIODS, "IN_SHORT": IN_SHORT, "IN_SHORT_TOPICS": _IN_SHORT}
    return environment.get_template("page.html.jinja")


@cache
def _file(name: str) -> str:
    return (importlib.resources.files("topo_pipeline.report") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
