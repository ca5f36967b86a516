"""The Monday message: the report in a few lines of plain text, in the words of the page. Its first line is the subject.

Names are on one line already. Each destination makes them harmless for its own format.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from topo_pipeline.common.text import counted, one_line
from topo_pipeline.engagement.sentences import day
from topo_pipeline.report import headlines
from topo_pipeline.report.data_facts import Fact


def text(shown: Mapping[str, Any], written: date, where: str) -> str:
    """Return the message about a report.

    Args:
        shown: What the page's template shows. Without a sequence, it has at most the facts about the data.
        written: The day on which the report was written, in the reporting zone.
        where: The address or path of the report.
    """
    limits = _limits(shown.get("facts", []))
    paragraphs = [["Nothing to show yet."], limits]
    if "sequences" in shown:
        paragraphs = [limits, _to_do(shown), _replies(shown), _moved(shown)]
    parts = [[f"{shown['title']}, {day(written)}"], *paragraphs, [f"Report: {one_line(where, 1_000)}"]]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _limits(facts: Iterable[Fact]) -> list[str]:
    """Return up to which day the data reaches, and the facts that limit what it says."""
    return [f"{fact.text}." for number, fact in enumerate(facts) if not number or not fact.ok]


def _to_do(shown: Mapping[str, Any]) -> list[str]:
    new, more = shown["since"].new, len(shown["more_to_do"])
    lines = [
        f"{number}. {'New: ' if said.claim in new else ''}{said.claim} {said.action}"
        for number, said in enumerate(shown["to_do"], 1)
    ]
    others = f"The report has {counted(more, 'more thing', 'more things')} to look at."
    return ["Do this week", *(lines or [shown["nothing"]]), *([others] if more else [])]


def _replies(shown: Mapping[str, Any]) -> list[str]:
    final = shown["final"]
    of_final = headlines.final(final, shown["rules"]) if final else shown["not_yet"]
    return ["How many reply", of_final, headlines.early(shown["workspace"].signals), *shown["still_to_come"]]


def _moved(shown: Mapping[str, Any]) -> list[str]:
    """Return what moved since an earlier report, except new findings, which are marked in the list of things to do."""
    since = shown["since"]
    return [since.title, *since.lines({said.claim for said in shown["to_do"]})] if since.title else []
