"""What a metric table's page in the UI shows beyond its columns: where to read on, a chart, a few rows."""

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
DOCS = PACKAGE.parent / "docs" / "metrics.md"  # of a checkout; an installed package has none


def description(table: MetricTable) -> str:
    """What the table is, and the way to what its last build shows: below a hundred columns nobody would look for it."""
    return f"{table.description}\n\n[Its chart, first rows and numbers](/assets/engagement/{table.name}?view=events)"


def links(table: MetricTable, settings: Settings) -> dict[str, Any]:
    """The definition's metadata: the table's name, and where the report, the SQL and the documentation are."""
    sources = [_source(PACKAGE / "engagement" / f"{table.name}.sql", 1, "the SQL")]
    if line := _sections().get(f"### engagement.{table.name}"):
        sources.append(_source(DOCS, line, "docs/metrics.md"))
    return {
        "dagster/table_name": f"engagement.{table.name}",
        "report": dg.MetadataValue.path(settings.report_dir / "engagement_report.html"),
        "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=list(sources)),
    }


def picture_and_preview(seen: "Seen") -> dict[str, Any]:
    """The metadata of a build that show what it built; a table without rows has no chart."""
    picture = seen.picture()
    chart = f"![{seen.look.title}](data:image/png;base64,{base64.b64encode(picture).decode()})" if picture else None
    return {
        **({"chart": dg.MetadataValue.md(chart)} if chart else {}),
        "preview": dg.MetadataValue.md(seen.preview()),
    }


def _source(path: Path, line: int, label: str) -> dg.LocalFileCodeReference:
    return dg.LocalFileCodeReference(file_path=str(path), line_number=line, label=label)


@cache
def _sections() -> dict[str, int]:
    """The lines of the documentation's headings, from 1."""
    if not DOCS.exists():
        return {}
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    return {line: number for number, line in enumerate(lines, start=1) if line.startswith("#")}
