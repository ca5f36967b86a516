"""Read the documentation in tests: tokens, and the commands in code blocks."""

import re
import shlex
from collections.abc import Iterator
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from topo_pipeline_tests.conftest import CHECKOUT

_COMMAND = re.compile(r"(\.venv/bin/)?topo-pipeline (--|\S+ \S)|dg launch -|dagster instance |python -m ")


@cache
def text_of(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


@cache
def tokens_of(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text_of(page))


def blocks_of(page: str, language: str = "") -> Iterator[str]:
    """Yield the code blocks in this language."""
    return (token.content for token in tokens_of(page) if token.type == "fence" and token.info == language)


def commands_of(page: str) -> Iterator[list[str]]:
    """Yield the words after topo-pipeline of each command in a code block."""
    for block in blocks_of(page):
        for line in re.findall(r"^(?:.*(?:/| )| *)topo-pipeline ([a-z].*)$", block.replace("\\\n", " "), re.MULTILINE):
            yield shlex.split(re.split(r" [|>#] | && ", line)[0], comments=True)


def shell_lines_of(page: str) -> Iterator[str]:
    """Yield every command of a page: the lines of its code blocks without a language, and the commands in its text.

    A command in the text has arguments; without any it may be just the name of a command. Lines that only set variables
    are the contents of a settings file.
    """
    for token in tokens_of(page):
        if token.type == "fence" and not token.info:
            yield from _shell_lines(token.content)
        for child in token.children or ():
            line = child.content.replace("\n", " ")
            if child.type == "code_inline" and _COMMAND.match(line):
                yield line


def _shell_lines(block: str) -> Iterator[str]:
    """Yield the commands of a block. One may extend over lines: it ends in a backslash, or in a quotation."""
    started = ""
    for line in block.splitlines():
        started += line
        try:
            words = shlex.split(started.removesuffix("\\"), comments=True)
        except ValueError:  # a quotation that goes on
            started += "\n"
            continue
        if started.endswith("\\"):
            started = started.removesuffix("\\")
            continue
        if not all(re.match(r"\w+=", word) for word in words):
            yield from started.split(" && ")
        started = ""
    assert not started, started
