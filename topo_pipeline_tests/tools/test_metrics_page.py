"""docs/metrics.md matches the code that it describes."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tools.column_differences import DIFFERENCES, kind_of
from tools.metrics_page import BEGIN, END, with_catalogue
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules, read_rules
from topo_pipeline.engagement.tables import tables

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert with_catalogue(PAGE) == PAGE, "run make docs"


def test_every_column_of_every_table_is_on_the_page_with_its_comment() -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(PAGE)
    cells = ["".join(c.content for c in token.children or []) for token in tokens if token.type == "inline"]
    pairs = set(zip(cells, cells[1:], strict=False))
    for table in tables().values():
        for name, comments in table.comments().items():
            assert f"engagement.{name}" in cells
            assert {(column, comment) for column, comment in comments.items() if column} <= pairs


def test_every_column_has_a_kind_and_every_kind_has_columns() -> None:
    columns = {column for table in tables().values() for of in table.comments().values() for column in of if column}
    kinds = {column: kind_of(column) for column in columns}
    assert set(kinds.values()) == {kind for kind, _, _ in DIFFERENCES}
    assert {kinds[f"{what}_{event}"] for what in ("total",) for event in ("sent", "replies", "meetings")} == {"count"}
    assert {kind for column, kind in kinds.items() if column.endswith(("_num", "_den", "_rate"))} <= {"rate", "opens"}
    assert {kind for column, kind in kinds.items() if column.startswith("unique_")} <= {"unique", "opens"}


def test_text_outside_the_marks_is_unchanged() -> None:
    assert with_catalogue(f"before {BEGIN} old {END} after").startswith(f"before {BEGIN}\n\n| Kind of column")
    assert with_catalogue(f"before {BEGIN} old {END} after").endswith(f"{END} after")
    assert " old text " not in with_catalogue(f"{BEGIN} old text {END}")


@pytest.mark.parametrize("page", ["", BEGIN, END])
def test_a_page_without_the_marks_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="make docs"):
        with_catalogue(page)


def test_the_page_lists_every_rule_with_its_default(tmp_path: Path) -> None:
    [block] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "rules.toml").write_text(block, encoding="utf-8")
    assert read_rules(tmp_path / "rules.toml") == DEFAULT_RULES
    assert re.findall(r"^(\w+) = ", block, re.MULTILINE) == [field.name for field in fields(Rules)]
