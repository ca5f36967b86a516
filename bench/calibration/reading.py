"""A report as text: the sentences of the page and the rows of its lists, and the values in a sentence."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from html.parser import HTMLParser
from typing import Any

from bench.calibration.worlds import FIRST_DAY

_BLOCKS = {
    "article", "button", "caption", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure", "form", "h1", "h2",
    "h3", "h4", "header", "label", "legend", "li", "ol", "option", "output", "p", "section", "select", "summary",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_PERIODS = {"p28d", "p90d", "plifetime"}  # cells of the list of sequences have one text for each period


@dataclass(frozen=True)
class Text:
    """A piece of the page.

    Attributes:
        section: The id of its section's heading. Empty outside of one.
        tag: Its element.
        kind: The element's class.
        topic: The last term, in a list of terms.
        sequence: The number of the sequence that the article or the row is about. None outside of one.
        period: The period, in a cell of the list of sequences.
        column: The place of a cell in its row. -1 outside of one.
        text: With single spaces.
    """

    section: str
    tag: str
    kind: str
    topic: str
    sequence: int | None
    period: str
    column: int
    text: str


class Page(HTMLParser):
    """The texts of a page, in order, and the data of its script."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[Text] = []
        self._section = self._tag = self._kind = self._topic = self._period = ""
        self._sequence: int | None = None
        self._column, self._parts, self._script = -1, [""], ""
        self._hidden: str | None = None
        self.feed(html)
        self.close()
        self.data: dict[str, Any] = json.loads(self._script)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a piece, in what the tag says of where it is."""
        has = {name: value or "" for name, value in attrs}
        if tag in {"script", "style", "title", "svg"}:
            self._hidden = has.get("id") or tag
        is_period = tag == "span" and has.get("class", "").split(" ")[0] in _PERIODS
        if tag in _BLOCKS or is_period:
            self._flush()
            self._period = has["class"].split(" ")[0] if is_period else ""
        if tag == "section":
            self._section, self._sequence, self._column = has.get("aria-labelledby", ""), None, -1
        if tag == "tr":
            self._column = -1
            if self._section == "sequences":
                self._sequence = None
        if tag in {"td", "th"}:
            self._column += 1
        if tag in {"article", "a"} and (
            found := re.search(r"sequence-\S*?([0-9a-f]+)$", has.get("id", has.get("href", "")))
        ):
            self._sequence = int(found[1], 16) if tag == "article" or self._column == 0 else self._sequence
        if tag in _BLOCKS:
            self._tag, self._kind = tag, has.get("class", "")

    def handle_endtag(self, tag: str) -> None:
        """End a piece."""
        if tag in {"script", "style", "title", "svg"}:
            self._hidden = None
        if tag in _BLOCKS or (tag == "span" and self._period):
            self._flush()
        if tag in {"p", "dd"}:
            self._tag = self._kind = ""

    def handle_data(self, data: str) -> None:
        """Add to the piece."""
        if self._hidden == "data":
            self._script += data
        if self._hidden is None:
            self._parts.append(data)

    def _flush(self) -> None:
        text = " ".join("".join(self._parts).split())
        self._parts = []
        if not text:
            return
        if self._tag == "dt":
            self._topic = text
        topic = self._topic if self._tag == "dd" else ""
        self.texts.append(
            Text(self._section, self._tag, self._kind, topic, self._sequence, self._period, self._column, text)
        )


_VALUES = {
    "n": r"[\d,]+(?:\.\d+)?",
    "p": r"[\d.]+%",
    "r": r"[\d.]+–[\d.]+%",
    "d": r"\d{1,2} [A-Z][a-z]+ \d{4}",
    "days": r"\d{1,2}(?: [A-Z][a-z]+)?(?: \d{4})?(?: ?– ?\d{1,2})? [A-Z][a-z]+ \d{4}|\d{1,2}–\d{1,2} [A-Z][a-z]+ \d{4}",
    "x": "[+\N{MINUS SIGN}]?[\\d.]+",
    "q": "“?\u2068?Sequence \\d\\d\u2069?”?",
    "s": "very likely|likely",
    "t": r".+?",
    "w": r"[▲▼]?[ \w]+?",
}
_PART = re.compile(r"\{(\w+):(\w+)\}|([\[\]<>|])|([^{\[\]<>|]+)")
_MEANS = {"[": "(?:", "]": ")?", "<": "(?:", ">": ")", "|": "|"}


@dataclass(frozen=True)
class Form:
    """The form of a sentence: `[…]` can be missing, `<a|b>` is one of them, `{name:kind}` is a value (`_VALUES`)."""

    written: str
    pattern: re.Pattern[str] = field(init=False, compare=False)
    kinds: dict[str, str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        kinds: dict[str, str] = {}
        pattern = ""
        for name, kind, mark, literal in _PART.findall(self.written):
            kinds |= {name: kind} if name else {}
            pattern += f"(?P<{name}>{_VALUES[kind]})" if name else _MEANS[mark] if mark else re.escape(literal)
        object.__setattr__(self, "pattern", re.compile(rf"{pattern}(?=\s|$)"))
        object.__setattr__(self, "kinds", kinds)

    def read(self, text: str) -> tuple[dict[str, Any], str] | None:
        """Return the values of the sentence that a text begins with, and the rest. None if it begins otherwise."""
        found = self.pattern.match(text)
        if found is None:
            return None
        values = {name: value and valued(self.kinds[name], value) for name, value in found.groupdict().items()}
        return values | {"said": found[0]}, text[found.end() :].lstrip()


def valued(kind: str, text: str) -> Any:
    """Return the value that a text is: rates as shares, days as numbers since the first, sequences as their number."""
    return _READ[kind](text) if kind in _READ else text


def day_number(day: date) -> int:
    """Return the days since the first day."""
    return (day - FIRST_DAY).days


def days_between(text: str) -> tuple[int, int]:
    """Return the first and last day of a text such as `12–18 October 2026` or `28 October – 3 November 2026`."""
    first, _, last = text.rpartition("–")
    last, words = last.strip(), first.split()
    if words:
        words += last.split()[len(words) :]
    return tuple(valued("d", each) for each in (" ".join(words) or last, last))  # type: ignore[return-value]


_READ: dict[str, Callable[[str], Any]] = {
    "n": lambda text: float(text.replace(",", "")),
    "p": lambda text: float(text.rstrip("%")) / 100,
    "r": lambda text: tuple(float(each) / 100 for each in text.rstrip("%").split("–")),
    "d": lambda text: day_number(datetime.strptime(text, "%d %B %Y").date()),  # noqa: DTZ007 - a day
    "days": days_between,
    "x": lambda text: float(text.replace("\N{MINUS SIGN}", "-")) / 100,
    "q": lambda text: int(text.strip("“”\u2068\u2069").removeprefix("Sequence ")),
}


def sentences(text: str, forms: dict[Form, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield what each sentence of a text has in `forms`, and its values. A sentence of no form has False."""
    while text:
        for form, of in forms.items():
            if found := form.read(text):
                yield of, found[0]
                text = found[1]
                break
        else:
            yield False, {"said": text}
            return
