"""Other people's text, made fit to show: a sequence's name, the reason in an answer, an error page.

What belongs here: one function for each kind of place where some characters do more than stand there. Pages of HTML
need none: Jinja escapes what they show. A spreadsheet's cells are quoted in SQL, by `exports.tables`.
"""

import re

LONGEST = 120
"""Characters of a name: more would push everything else off the screen."""
_JOINERS = "\u200c\u200d"  # not printable to Python, and part of words and emoji
# What markdown or HTML may read as more than text; as a character reference it is nothing but text.
_MARKUP = re.compile(r"[!\"$&'*<>\[\\\]_`|~]")
# Receivers of webhooks take <!channel> and @channel for mentions, and [text](address) for a link.
_MENTIONS = str.maketrans({"<": "‹", ">": "›", "@": "@\N{WORD JOINER}", "]": "]\N{WORD JOINER}"})


def one_line(text: str, limit: int = 300) -> str:
    """The text without control and formatting characters and line breaks, at most `limit` characters long."""
    shown = "".join(character if character.isprintable() or character in _JOINERS else " " for character in text)
    line = " ".join(shown.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def in_markdown(text: str, limit: int = LONGEST) -> str:
    """The text as a markdown reader shows it, on one line, and does nothing else with it."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", one_line(text, limit))


def in_chat(message: str) -> str:
    """A message in which nothing calls on people or leads elsewhere, line by line."""
    return message.translate(_MENTIONS)


def in_json(document: str) -> str:
    r"""A JSON document whose strings hold what is not printable as `\u…`: a terminal would act on it."""
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in document)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
