"""The part of docs/metrics.md that the .sql files tell: every table, every column, in their own words.

`make docs` writes it; a test holds the page to the files.
"""

import sys
from pathlib import Path

from topo_pipeline.engagement.checks import checks_of
from topo_pipeline.engagement.tables import MetricTable, tables
from topo_pipeline.report.differences import DIFFERENCES, kind_of
from topo_pipeline.warehouse.files import replacing

BEGIN, END = "<!-- written by make docs: begin -->", "<!-- written by make docs: end -->"


def catalogue() -> str:
    """The kinds of columns, every metric table with its columns and checks, the checks of what landed, as markdown."""
    return "\n\n".join([_differences(), *(_section(table) for table in tables().values()), _landed()])


def with_catalogue(page: str) -> str:
    """The page with what stands between its marks written anew.

    Raises:
        ValueError: the page has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{catalogue()}\n\n{END}{after}"


def _differences() -> str:
    rows = (f"| {kind} | {_cell(reason)} |" for kind, _, reason in DIFFERENCES)
    return "\n".join(["| Kind of column | Why it may differ from Topo's screens |", "| --- | --- |", *rows])


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


def _landed() -> str:
    return f"### topo.activities\n\nEvery activity as landed.\n\n{_checks('topo.activities')}"


def _checks(table: str) -> str:
    rows = (
        f"| `{check.name}` | {'error' if check.severity == 'ERROR' else 'warning'} | {_cell(check.holds)} |"
        for check in checks_of(table)
    )
    return "\n".join(["| Check | Where it fails | Passes where |", "| --- | --- | --- |", *rows])


def _cell(text: str) -> str:
    """A comment in a cell: what markdown would take for something else stays what it is."""
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    with replacing(path) as new:
        new.write_text(with_catalogue(path.read_text(encoding="utf-8")), encoding="utf-8")
