"""Make text from outside safe to display (sequence names, API error messages, error pages), and format numbers.

There is one function for each output format with special characters. HTML needs none, since Jinja escapes it. CSV cells
are escaped in SQL, in `exports.tables`.
"""

import math
import re
import unicodedata

LONGEST = 120
"""The number of characters of a name that are shown."""
_MINUS = "\N{MINUS SIGN}"
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}
_FORMATTING = "Cf"
# Formatting characters that are part of words, emoji and flags.
_KEPT = {"\u200c", "\u200d", *map(chr, range(0xE0020, 0xE0080))}
# Characters with a meaning in markdown or HTML.
_MARKUP = re.compile(r"[!\"$&'*<>\[\\\]_`|~]")
# Chat apps turn <!channel> and @channel into mentions, [text](address) into a link, and what follows ``` into code.
_MENTIONS = str.maketrans({"<": "‹", ">": "›", "@": "@\N{WORD JOINER}", "]": "]\N{WORD JOINER}", "`": "ˋ"})


def one_line(text: str, limit: int = 300) -> str:
    """Return the text on one line, without control or formatting characters, cut to `limit` characters."""
    line = " ".join("".join(map(_harmless, text)).split())
    if not line.strip("".join(_KEPT)):
        return ""
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def first_line(text: object) -> str:
    """Return the first line of a text or error. DuckDB, for one, appends links and the statement to its messages."""
    return str(text).strip().partition("\n")[0]


def sentence(text: str) -> str:
    """Return the text with a full stop, if it ends without one."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun in the singular or plural: `1 day`, `1,200 days`."""
    return f"{number:,} {noun_for(number, noun, plural)}"


def noun_for(number: int, noun: str, plural: str | None = None) -> str:
    """Return the singular for 1, else the plural."""
    return noun if number == 1 else plural or f"{noun}s"


def percent(share: float | None) -> str:
    """Return a share as text: `6.3%`, or a dash if it is unknown."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f}%"


def interval(low: float | None, high: float | None) -> str:
    """Return the bounds of a share as text: `(3.8–10.3)`, or nothing if they are unknown."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"({100 * low:.1f}–{100 * high:.1f})"


def rate_with_interval(rate: float | None, low: float | None, high: float | None) -> str:
    """Return a share and its bounds as text: `6.3% (3.8–10.3)`, or a dash if it is unknown."""
    return f"{percent(rate)} {interval(low, high)}".rstrip()


def points(difference: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign: `+0.9`, or a dash if it is unknown."""
    if difference is None:
        return "–"
    rounded = f"{100 * abs(difference):.1f}"
    return rounded if float(rounded) == 0 else f"{'+' if difference > 0 else _MINUS}{rounded}"


def in_markdown(text: str, limit: int = LONGEST) -> str:
    """Return the text on one line, with markdown and HTML escaped."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", one_line(text, limit))


def in_chat(message: str) -> str:
    """Return the message without mentions and without links that hide their address. Line breaks are kept."""
    return message.translate(_MENTIONS)


def in_json(document: str) -> str:
    r"""Return the JSON document with control and formatting characters written as `\uXXXX`."""
    return "".join(c if c == "\n" or _harmless(c) == c else _escaped(c) for c in document)


def _harmless(character: str) -> str:
    """Return the character, a space for a control character, or nothing for a formatting character."""
    if character.isprintable() or character in _KEPT:
        return character
    category = unicodedata.category(character)
    if category in _CONTROL:
        return " "
    return "" if category == _FORMATTING else character


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
