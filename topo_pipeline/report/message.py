"""The Monday message: the report in a few lines of plain text, in the words of the page. Its first line is the subject.

Names are on one line already. Each destination makes them harmless for its own format.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from topo_pipeline.common.text import counted, one_line
from topo_pipeline.engagement.sentences import day
from topo_pipeline.report import headlines
from topo_pipeline.report.data_facts import Fact


@dataclass(frozen=True)
class Message:
    """The message about a report.

    Attributes:
        title: The title of the report.
        written: The day on which the report was written, in the reporting zone.
        where: The address or path of the report.
    """

    title: str
    written: date
    where: str

    def of(self, shown: Mapping[str, Any]) -> str:
        """Return the text, given what the page's template shows."""
        return self._text(_limits(shown["facts"]), _to_do(shown), _replies(shown), _moved(shown))

    def without_sequences(self, facts: Iterable[Fact]) -> str:
        """Return the text about a report that has nothing to show yet."""
        return self._text(["Nothing to show yet."], _limits(facts))

    def _text(self, *paragraphs: list[str]) -> str:
        parts = [[f"{self.title}, {day(self.written)}"], *paragraphs, [f"Report: {one_line(self.where, 1_000)}"]]
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
