"""docs/metrics.md matches the code that it describes."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tools.column_differences import DIFFERENCES, kind_of
from tools.metrics_page import ABOUT_RATES, BEGIN, END, with_catalogue
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules, read_rules
from topo_pipeline.engagement.tables import tables

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert with_catalogue(PAGE) == PAGE, "run make docs"


def test_the_page_has_exactly_the_comments_of_every_table() -> None:
    """The row of a rate, with what the page says about the columns of `reply_rate`, gives the comments on all six."""
    about_rates, *sections = PAGE[PAGE.index(ABOUT_RATES) :].split("\n### engagement.")
    of_reply_rate = rows(about_rates)
    on_page = {section.split("\n")[0]: unfolded(rows(section), of_reply_rate) for section in sections}
    expected = {name: comments for table in tables().values() for name, comments in table.comments().items()}
    assert on_page == {name: {column: text for column, text in of.items() if column} for name, of in expected.items()}
    assert all(f"### engagement.{name}\n\n{comments['']}\n" in PAGE for name, comments in expected.items())


def rows(section: str) -> dict[str, str]:
    """Return the text next to each column in the first table of a section."""
    table = section[section.index("| Column |") :].partition("\n\n")[0]
    inline = [token for token in MarkdownIt("commonmark").enable("table").parse(table) if token.type == "inline"]
    _, _, _, *cells = ("".join(child.content for child in token.children or []) for token in inline)
    return dict(zip(cells[::3], cells[1::3], strict=True))


def unfolded(folded: dict[str, str], of_reply_rate: dict[str, str]) -> dict[str, str]:
    """Return the comment on each column, with those that the rows of rates leave out."""
    comments: dict[str, str] = {}
    for column, text in folded.items():
        rate = re.fullmatch(rf"_num: (.+?) _den: (.+?)(?: ({column}_num / .+))?", text)
        if rate is None:
            comments[column] = text
        else:
            num, den, own = rate.groups()
            same = of_reply_rate.items()
            comments |= {of.replace("reply_rate", column): each.replace("reply_rate", column) for of, each in same}
            comments |= {f"{column}_num": num, f"{column}_den": den} | ({column: own} if own else {})
    return comments


def test_every_column_has_a_kind_and_every_kind_has_columns() -> None:
    columns = {column for table in tables().values() for of in table.comments().values() for column in of if column}
    kinds = {column: kind_of(column) for column in columns}
    assert set(kinds.values()) == {kind for kind, _, _ in DIFFERENCES}
    rates = {column for column in kinds if {f"{column}_num", f"{column}_den"} <= kinds.keys()}
    assert all(kinds[rate] == kinds[f"{rate}_num"] == kinds[f"{rate}_den"] for rate in rates)
    assert {kinds[f"{what}_{event}"] for what in ("total",) for event in ("sent", "replies", "meetings")} == {"count"}
    assert {kind for column, kind in kinds.items() if column.endswith(("_num", "_den", "_rate"))} <= {"rate", "opens"}
    assert {kind for column, kind in kinds.items() if column.startswith("unique_")} <= {"unique", "opens"}
    assert {kind for column, kind in kinds.items() if column.endswith(("_low", "_high", "_evidence"))} == {"judgement"}


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
