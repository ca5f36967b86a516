"""Names in Markdown tables stay plain text."""

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from topo_pipeline.common.text import in_markdown
from topo_pipeline.report.markdown import LONGEST, table, to_do, unbroken
from topo_pipeline.report.wording import Said

HOSTILE = [
    "a | b || c",
    "backslash \\| pipe \\\\| again",
    "two\nlines\r\n\r\n# heading\u2028and more",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "![pixel](https://tracker.example/1.png) [link](javascript:alert(1))",
    "`code` **bold** _under_ ~~gone~~ <https://auto.example>",
    "\u202eright to left\u2066 override",
    "\x1b[31mred\x00\x07",
    "x" * 500,
    "שלום مرحبا 🚀 été",
]


def cells_of(markdown: str) -> list[list[str]]:
    """Parse the Markdown; return the text of the cells of its only table."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    assert (tokens[0].type, tokens[-1].type) == ("table_open", "table_close")
    inlines = [token for token in tokens if token.type == "inline"]
    children = [child for token in inlines for child in token.children or []]
    assert {child.type for child in children} <= {"text", "text_special"}
    texts = iter(["".join(child.content for child in token.children or []) for token in inlines])
    rows = sum(token.type == "tr_open" for token in tokens)
    return [[next(texts) for _ in range(len(inlines) // rows)] for _ in range(rows)]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_stays_plain_text_in_its_cell(name: str) -> None:
    markdown = table(
        pd.DataFrame({"sequence": ["before", in_markdown(name, LONGEST), "after"], "runs": ["1", "2", "3"]})
    )
    assert len(markdown.split("\n")) == len(markdown.splitlines()) == 5
    assert all(character.isprintable() or character == "\n" for character in markdown)
    shown = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    shown = shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
    assert cells_of(markdown) == [["sequence", "runs"], ["before", "1"], [shown, "2"], ["after", "3"]]


@pytest.mark.parametrize("name", ["007", "1e5", "1.10", "nan", "inf", "True"])
def test_a_name_that_looks_like_a_number_is_not_changed(name: str) -> None:
    assert cells_of(table(pd.DataFrame({"sequence": [in_markdown(name, LONGEST)], "runs": ["1"]})))[1][0] == name


def test_a_rate_and_its_interval_do_not_wrap() -> None:
    kept = unbroken("6.3% (3.8–10.3)")
    assert " " not in kept
    assert kept.count("\u2060–\u2060") == 1
    assert unbroken("2026-03-14") == "2026-\u206003-\u206014"


def test_a_finding_is_an_item_of_a_numbered_list_and_its_name_stays_plain() -> None:
    said = [Said(f"{name} is silent.", "It last sent something.", "Check.", "an id") for name in HOSTILE]
    shown = MarkdownIt("commonmark").render(to_do(said))
    assert shown.count("<ol>") == 1
    assert shown.count("<li>") == shown.count("<strong>") == len(HOSTILE)
    assert "<a " not in shown
    assert "<script" not in shown
    assert to_do([]) == "Nothing."
