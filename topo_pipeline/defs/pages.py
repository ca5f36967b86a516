"""Metadata for a metric table's page in the UI: links, a chart and the first rows."""

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from topo_pipeline.engagement.tables import MetricTable
from topo_pipeline.settings import Settings

if TYPE_CHECKING:
    from topo_pipeline.report.previews import Seen

PACKAGE = Path(__file__).parents[1]
DOCS = PACKAGE.parent / "docs" / "metrics.md"  # only in a checkout


def description(table: MetricTable) -> str:
    """Return the table's description with a link to its last build, which is hard to find below a hundred columns."""
    return f"{table.description}\n\n[Chart, first rows and figures](/assets/engagement/{table.name}?view=events)"


def links(table: MetricTable, settings: Settings) -> dict[str, Any]:
    """Return the definition metadata: the table's name, and links to the report, the SQL and the documentation."""
    sources = [_source(PACKAGE / "engagement" / f"{table.name}.sql", 1, "the SQL")]
    if line := _heading_lines().get(f"### engagement.{table.name}"):
        sources.append(_source(DOCS, line, "docs/metrics.md"))
    return {
        "dagster/table_name": f"engagement.{table.name}",
        "report": dg.MetadataValue.path(settings.report_dir / "engagement_report.html"),
        "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=list(sources)),
    }


def chart_and_preview(seen: "Seen") -> dict[str, Any]:
    """Return the chart and the first rows of a build as metadata. A table without rows has no chart."""
    picture = seen.picture()
    chart = f"![{seen.look.title}](data:image/png;base64,{base64.b64encode(picture).decode()})" if picture else None
    return {
        **({"chart": dg.MetadataValue.md(chart)} if chart else {}),
        "preview": dg.MetadataValue.md(seen.preview()),
    }


def _source(path: Path, line: int, label: str) -> dg.LocalFileCodeReference:
    return dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)


@cache
def _heading_lines() -> dict[str, int]:
    """Return the line number of each heading of the documentation, counted from 1."""
    if not DOCS.exists():
        return {}
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    return {line: number for number, line in enumerate(lines, start=1) if line.startswith("#")}
