"""Every pair of sequences compared, in a form that is small enough for the page.

The sentences are those of `topo-pipeline compare`. Sentences that differ only in their numbers are kept once, as a
form. Each pair has the place of its form and its numbers. The page's script puts them together and computes nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from topo_pipeline.engagement import sentences
from topo_pipeline.engagement.comparison import Comparison, compare_all
from topo_pipeline.report.formats import isolated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

    from topo_pipeline.engagement.rules import Rules
    from topo_pipeline.report.queries import Sequence

COMPARED = 40  # sequences, which are 780 pairs
WITH_FIRST = 10  # sequences that are listed with their difference to the first
_NUMBER = re.compile(r"[+\N{MINUS SIGN}]?\d[\d,]*(?:\.\d+)?")
_NAMES = ("{first}", "{second}")


@dataclass(frozen=True)
class Pairs:
    """The sequences that can be compared, and what is said of each pair.

    Attributes:
        ids: The sequences, in the order of the list.
        which: Says which sequences these are.
        sentences: What is said of the first two.
        with_first: The comparison of the first with each of the next, by their ids. The difference is theirs to it.
        data: For the script: `forms`, `rates` (a sentence for each sequence) and `pairs` (of the first with the second,
            of the first with the third, and so on).
    """

    ids: list[str]
    which: str
    sentences: list[str]
    with_first: dict[str, Comparison]
    data: dict[str, list[Any]]


def pairs(
    connection: "DuckDBPyConnection", found: "Mapping[str, Sequence]", names: "Mapping[str, str]", rules: "Rules"
) -> Pairs | None:
    """Compare the sequences that have enough contacts with each other. Return None if there are fewer than two."""
    rated = [id_ for id_, each in found.items() if each.ever["den"] >= max(rules.evidence_small, 1)]
    ids, window = rated[:COMPARED], rules.reply_window_days
    compared = compare_all(connection, ids, rules)
    if not compared:
        return None
    forms: dict[str, int] = {}
    rows = []
    for pair in compared.values():
        form, numbers = _taken_apart(sentences.difference(_named(pair, *_NAMES)))
        rows.append(" ".join([str(forms.setdefault(form, len(forms))), *numbers]))
    first, second = ids[:2]
    others = ids[1 : 1 + WITH_FIRST]
    with_first = compare_all(connection, [*others, first], rules)
    both = _named(compared[first, second], isolated(names[first]), isolated(names[second]))
    return Pairs(
        ids=ids,
        which=_which(len(ids), len(rated), rules),
        sentences=sentences.comparison(both, window),
        with_first={other: with_first[other, first] for other in others},
        data={
            "forms": list(forms),
            "rates": [sentences.rated({**_row(id_, compared), "name": isolated(names[id_])}, window) for id_ in ids],
            "pairs": rows,
        },
    )


def _named(pair: Comparison, first: str, second: str) -> Comparison:
    return replace(pair, first={**pair.first, "name": first}, second={**pair.second, "name": second})


def _row(id_: str, compared: "Mapping[tuple[str, str], Comparison]") -> dict[str, Any]:
    """Return the row of a sequence, which is in all comparisons of it."""
    return next(
        pair.first if id_ == one else pair.second for (one, other), pair in compared.items() if id_ in (one, other)
    )


def _taken_apart(said: Iterable[str]) -> tuple[str, list[str]]:
    """Return the sentences, one a line, with `{}` in place of each number, and the numbers."""
    text = "\n".join(said)
    return _NUMBER.sub("{}", text), _NUMBER.findall(text)


def _which(shown: int, rated: int, rules: "Rules") -> str:
    of_all = f"first {shown} of the " if shown < rated else ""
    return (
        f"These are the {of_all}{rated} sequences with at least {rules.evidence_small} contacts whose"
        f" {rules.reply_window_days} days are over."
    )
