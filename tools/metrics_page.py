"""The generated part of docs/metrics.md: every metric table and column with its comment, and the checks.

`make docs` writes it, and a test compares the page with the .sql files.
"""

import sys
from pathlib import Path

from tools.column_differences import DIFFERENCES, kind_of
from topo_pipeline.engagement.checks import checks_of
from topo_pipeline.engagement.tables import MetricTable, tables
from topo_pipeline.warehouse.files import replacing

BEGIN, END = "<!-- written by make docs: begin -->", "<!-- written by make docs: end -->"


def catalogue() -> str:
    """Return the generated part as markdown: kinds of columns, metric tables with their checks, topo.activities."""
    return "\n\n".join([_differences(), *(_section(table) for table in tables().values()), _landed_activities()])


def with_catalogue(page: str) -> str:
    """Return the page with the part between the marks regenerated.

    Raises:
        ValueError: The page does not have both marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{catalogue()}\n\n{END}{after}"


def _differences() -> str:
    rows = (f"| {kind} | {_cell(reason)} |" for kind, _, reason in DIFFERENCES)
    return "\n".join(["| Kind of column | Why it can differ from Topo's screens |", "| --- | --- |", *rows])


def _section(table: MetricTable) -> str:
    described = [
        line
        for name, comments in table.comments().items()
        for line in [
            f"### engagement.{name}",
            "",
            comments[""],
            "",
            "| Column | | Kind |",
            "| --- | --- | --- |",
            *(
                f"| `{column}` | {_cell(comment)} | {kind_of(column)} |"
                for column, comment in comments.items()
                if column
            ),
            "",
        ]
    ]
    return "\n".join([*described, _checks(f"engagement.{table.name}")])


def _landed_activities() -> str:
    return f"### topo.activities\n\nEvery activity as landed.\n\n{_checks('topo.activities')}"


def _checks(table: str) -> str:
    rows = (
        f"| `{check.name}` | {'error' if check.severity == 'ERROR' else 'warning'} | {_cell(check.holds)} |"
        for check in checks_of(table)
    )
    return "\n".join(["| Check | If it fails | Passes when |", "| --- | --- | --- |", *rows])


def _cell(text: str) -> str:
    """Escape a comment for a cell of a markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    with replacing(path) as new:
        new.write_text(with_catalogue(path.read_text(encoding="utf-8")), encoding="utf-8")
