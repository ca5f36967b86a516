"""Read the documentation in tests: tokens, and the commands in code blocks."""

import re
import shlex
from collections.abc import Iterator
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from topo_pipeline_tests.conftest import CHECKOUT


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
