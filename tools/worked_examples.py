"""The worked examples of docs/metrics.md and the queries of their numbers, which are in worked_examples.sql.

The numbers in bold in an example are those of its query, in order. `python -m tools.worked_examples` writes the demo's
numbers into the page. With the path of a warehouse, it prints the examples with the numbers of that warehouse.
"""

import re
import sys
import tempfile
from pathlib import Path

import duckdb

from tools.demo_tables import write_demo
from topo_pipeline.warehouse.files import replacing

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
_EXAMPLE = re.compile(r"^(\d+)\. \*(.+?)\.\* (.+?)(?=^\d+\. \*|^#|\Z)", re.MULTILINE | re.DOTALL)
_QUERY = re.compile(r"^-- (\d+)\. (.+)\n([^;]+);", re.MULTILINE)
BOLD = re.compile(r"\*\*(.+?)\*\*")

Title = tuple[str, str]  # number and name


def queries() -> dict[Title, str]:
    """Return the query of each example."""
    script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    return {(number, name): query for number, name, query in _QUERY.findall(script)}


def examples(page: str) -> dict[Title, str]:
    """Return the text of each example on the page."""
    return {(number, name): text for number, name, text in _EXAMPLE.findall(page)}


def with_numbers(text: str, numbers: tuple[object, ...]) -> str:
    """Return the text with these numbers in place of those in bold.

    Raises:
        ValueError: The text has more or fewer numbers in bold.
    """
    bold = len(BOLD.findall(text))
    if bold != len(numbers):
        raise ValueError(f"{bold} numbers are in bold, but the query returns {len(numbers)}: {text}")
    written = map(_written, numbers)
    return BOLD.sub(lambda _: f"**{next(written)}**", text)


def numbers_of(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[object, ...]:
    """Return the row of an example's query.

    Raises:
        LookupError: The query returns no row or several.
    """
    rows = connection.execute(query).fetchall()
    if len(rows) != 1:
        raise LookupError(f"The query returns {len(rows)} rows, but the numbers are those of one: {query}")
    return tuple(rows[0])


def updated(page: str, connection: duckdb.DuckDBPyConnection) -> str:
    """Return the page with the numbers of a warehouse in its examples."""
    of = queries()
    for title, text in examples(page).items():
        page = page.replace(text, with_numbers(text, numbers_of(connection, of[title])))
    return page


def _written(number: object) -> str:
    """Return a count as 1,204, a share as 6.3%, and a missing number as –."""
    if number is None:
        return "–"
    if isinstance(number, float):
        return f"{number:.1%}"
    return f"{number:,}" if isinstance(number, int) else str(number)


def main(warehouse: str | None = None) -> None:
    """Update the page with the demo's numbers, or print the examples with those of a warehouse."""
    page = PAGE.read_text(encoding="utf-8")
    if warehouse is not None:
        with duckdb.connect(warehouse, read_only=True) as connection:
            for (number, name), text in examples(updated(page, connection)).items():
                print(f"{number}. {name}\n   {text.replace('**', '').rstrip()}\n")
        return
    with tempfile.TemporaryDirectory() as folder, write_demo(f"{folder}/topo.duckdb").reader() as connection:
        page = updated(page, connection)
    with replacing(PAGE) as new:
        new.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
