"""The report as an HTML parser reads it."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "input", "circle", "line", "path", "rect", "polyline", "img", "br"}
# Tags whose start ends others, as HTML lets us leave out their end tags.
IMPLIED = {"td": ("td", "th"), "th": ("td", "th"), "tr": ("td", "th", "tr"), "dd": ("dt",)}
ENDED = {**dict.fromkeys(("table", "tbody", "thead"), ("td", "th", "tr")), "div": ("dd",)}


class Seen(HTMLParser):
    """The tags and texts of a page, and the parts of it by id."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.parts: dict[str, list[str]] = {}
        self.table_rows: list[tuple[list[str | None], list[str]]] = []
        self.inside: list[tuple[str, str | None]] = [("", None)]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._end(IMPLIED.get(tag, ()))
        if tag not in VOID:
            self.inside.append((tag, dict(attrs).get("id")))
        if tag == "tr":
            self.table_rows.append(([id_ for _, id_ in self.inside], []))
        if tag in {"td", "th"}:
            self.table_rows[-1][1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._end(ENDED.get(tag, ()))
        assert self.inside.pop()[0] == tag, f"</{tag}> closes nothing"

    def _end(self, tags: tuple[str, ...]) -> None:
        while self.inside[-1][0] in tags:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append((self.inside[-1][0], data))
        if any(tag in {"td", "th"} for tag, _ in self.inside):
            self.table_rows[-1][1][-1] += data
        for _, id_ in self.inside:
            if id_:
                self.parts.setdefault(id_, []).append(data)

    def of(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)

    def within(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]

    def text(self, id_: str) -> str:
        """Return the text of the element with this id, with single spaces."""
        return " ".join(" ".join(self.parts[id_]).split())

    def rows(self, id_: str) -> list[list[str]]:
        """Return the texts of the cells of each row within the element with this id."""
        return [[" ".join(cell.split()) for cell in cells] for ids, cells in self.table_rows if id_ in ids]

    @property
    def data(self) -> Any:
        """The JSON that the page's script reads."""
        return json.loads("".join(self.parts["data"]))

    @property
    def all_text(self) -> str:
        """The text that a reader can see."""
        shown = (text for inside, text in self.texts if inside not in {"script", "style", "title"})
        return " ".join(" ".join(shown).split())
