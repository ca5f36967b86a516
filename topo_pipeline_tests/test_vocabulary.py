"""Texts and names use plain English: none of the expressions below. CONTRIBUTING.md has the rules."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "topo_pipeline"
# These modules share the column name `went_on`, and released migrations never change.
_WENT_ON = (PACKAGE / "report" / f"{name}.py" for name in ("looks", "queries"))
EXCLUDED = (*_WENT_ON, PACKAGE / "warehouse" / "migrations")

# Each expression (words separated by spaces, alternatives by |) and what to write instead.
BANNED = {
    "anew": "again, from scratch, rebuilt",
    "as things stand|how things stand|as they stand": "now, the current state",
    "beside": "next to, with",
    "by now": "now",
    "go on|goes on|went on|going on": "continue",
    "hear of|hears of|heard of": "is notified of",
    "held against|hold against|holds against": "compared with",
    "is no setting|is none of the settings": "is not a known setting",
    "is not a day": "is not a date",
    "is nowhere": "can't be resolved",
    "keeper|keepers": "say what it does",
    "meanwhile": "at the same time",
    "nobody is there": "not running in a terminal",
    "of another making": "not created by topo-pipeline",
    "so many|so much": "N, this many, up to",
    "take in|takes in|took in|taken in": "process, apply",
    "the dead": "orphaned runs",
    "the forgotten": "erased people, erased subjects",
    "told|tells": "called with, reports, returns, says (can't be told: is unknown)",
    "too few to tell": "too few",
    "well again": "recovered",
    "whatever": "the value that, any",
    "whoever": "the caller, the process that",
}
# A word may be part of a snake_case name, and a phrase may continue on the next line of a comment.
_GAP = r"(?:[\s_*\-]|#|\\n)+"
# Each has a text in lower case that all of its matches contain, as it takes far less time to look for that.
_PATTERNS = [
    (phrase.split()[0], re.compile(rf"(?<![^\W_]){_GAP.join(phrase.split())}(?![^\W_])", re.IGNORECASE), instead)
    for phrases, instead in BANNED.items()
    for phrase in phrases.split("|")
] + [
    ("stands", re.compile(r"(?<![^\W_])stands(?![^\W_])(?! for\b)", re.IGNORECASE), "is, appears, remains"),
    # Not a remainder (`60 % 7`, `60 % (`) and not the end of a Jinja tag.
    (" %", re.compile(r"(?:\d|\}) %(?!\s*[\d(}])"), "no space before %"),
]


def finds(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the expression and its replacement for each banned expression in `text`."""
    lower = text.lower()
    patterns = ((pattern, instead) for contained, pattern, instead in _PATTERNS if contained in lower)
    found = ((match.start(), match, instead) for pattern, instead in patterns for match in pattern.finditer(text))
    for start, match, instead in sorted(found, key=lambda each: each[0]):
        yield text.count("\n", 0, start) + 1, " ".join(match.group().split()), instead


def _texts() -> list[Path]:
    code = (path for suffix in ("py", "sql", "jinja") for path in PACKAGE.rglob(f"*.{suffix}"))
    return [
        *sorted(CHECKOUT.glob("*.md")),
        *sorted((CHECKOUT / "docs").rglob("*.md")),
        *sorted(path for path in code if not any(map(path.is_relative_to, EXCLUDED))),
    ]


def test_no_text_uses_a_banned_expression() -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}:{line}: {expression!r} (write: {instead})"
        for path in _texts()
        for line, expression, instead in finds(path.read_text(encoding="utf-8"))
    ]
    if found:
        pytest.fail(f"{len(found)} banned expressions:\n" + "\n".join(found), pytrace=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The table is built Anew.", [(1, "Anew")]),
        ("First line.\n# Wait for so\n# many days.", [(2, "so # many")]),
        ("def bury_the_dead() -> None:", [(1, "the_dead")]),
        ("told = 1", [(1, "told")]),
        ("Nothing is held against it.", [(1, "held against")]),
        ("the 95 % interval, f'{rate:.0f} %'", [(1, "5 %"), (1, "} %")]),
        ("The number stands here; n stands for a count.", [(1, "stands")]),
        ("Nobody is there to be asked.", [(1, "Nobody is there")]),
    ],
)
def test_a_banned_expression_is_found_with_its_line(text: str, expected: list[tuple[int, str]]) -> None:
    assert [(line, expression) for line, expression, _ in finds(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "a rate of 6.3%; 60 % 7; '%d' % (1,); {% set n = 3 %}{{ n }}",
        "besides, untold, the deadline, understands, whatsoever, solo manyfold",
    ],
)
def test_other_words_and_remainders_are_not_found(text: str) -> None:
    assert not list(finds(text))
