"""The generated part of docs/metrics.md: every metric table and column with its comment, and the checks.

`make docs` writes it, and a test compares the page with the .sql files.
"""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jinja2

from tools.column_differences import DIFFERENCES, kind_of
from topo_pipeline.engagement.checks import checks_of
from topo_pipeline.engagement.tables import MetricTable, tables
from topo_pipeline.warehouse.files import replacing

BEGIN, END = "<!-- written by make docs: begin -->", "<!-- written by make docs: end -->"
ABOUT_RATES = (
    "A rate has six columns but only one row in the tables below. The row says what its `_num` and `_den` count. Its"
    " kind is that of these two and of the rate. The other comments are the same for every rate. Those of `reply_rate`:"
)
_COMMENTS_ON_A_RATE = """{% from 'rates.jinja' import rate_comments %}
COMMENT ON TABLE engagement.rates IS '';
{{ rate_comments('engagement.rates', rate, '', '') }}
"""


def catalogue() -> str:
    """Return the generated part: kinds of columns, rates, metric tables with their checks, topo.activities."""
    return "\n\n".join(
        [_differences(), _rates(), *(_section(table) for table in tables().values()), _landed_activities()]
    )


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


def _rates() -> str:
    rows = (
        f"| `{column}` | {_cell(text)} | {kind_of(column)} |" for column, text in _same_for_every("reply_rate").items()
    )
    return "\n".join([ABOUT_RATES, "", "| Column | | Kind |", "| --- | --- | --- |", *rows])


def _rows(comments: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield a table's rows: one per rate, and one per column whose comment that row and `_rates` do not contain."""
    rates = {name for name in comments if {f"{name}_num", f"{name}_den"} <= comments.keys()}
    explained = {column: text for rate in rates for column, text in _same_for_every(rate).items()}
    for column, text in comments.items():
        if column in rates:
            counts = f"`_num`: {comments[f'{column}_num']} `_den`: {comments[f'{column}_den']}"
            yield column, counts if text == explained[column] else f"{counts} {text}"
        elif column and column.removesuffix("_num").removesuffix("_den") not in rates and text != explained.get(column):
            yield column, text


@cache
def _same_for_every(rate: str) -> dict[str, str]:
    """Return the comments on the columns of a rate, except those on `_num` and `_den`."""
    files = jinja2.Environment(loader=jinja2.PackageLoader("topo_pipeline", "engagement"), autoescape=True)
    script = files.from_string(_COMMENTS_ON_A_RATE).render(rate=rate)
    return {column: text for column, text in MetricTable("rates", script).comments()["rates"].items() if text}


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
            *(f"| `{column}` | {_cell(text)} | {kind_of(column)} |" for column, text in _rows(comments)),
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
