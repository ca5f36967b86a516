"""README and docs/: links, commands, settings and tables are those that exist."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.main import get_command

from topo_pipeline.cli import app
from topo_pipeline.engagement.tables import tables
from topo_pipeline_tests.conftest import CHECKOUT
from topo_pipeline_tests.pages import commands_of, text_of, tokens_of
from topo_pipeline_tests.test_settings import VARIABLES

PAGES = sorted(
    path.relative_to(CHECKOUT).as_posix() for path in (*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md"))
)
TEXTS = ("py", "sql", "jinja", "env.example", "yaml")
GROUP = get_command(app)
COMMANDS = GROUP.commands  # type: ignore[attr-defined] # a group


def test_readme_fits_on_three_screens() -> None:
    assert len(text_of("README.md").split()) <= 1100
    assert len(text_of("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_its_heading(page: str) -> None:
    """The site is built with strict links too. This is about GitHub, and about pages that are not in docs/."""
    missing = []
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = (CHECKOUT / page).parent / path if path else CHECKOUT / page
        if not target.is_file() or (anchor and anchor not in _anchors(target)):
            missing.append(link)
    assert not missing


def test_every_page_that_the_code_names_has_that_heading() -> None:
    """In messages: docs/page.md#anchor, or docs/page.md, 'Heading'."""
    found = []
    for path in (file for suffix in TEXTS for file in (CHECKOUT / "topo_pipeline").rglob(f"*{suffix}")):
        text = path.read_text(encoding="utf-8")
        for name, anchor, heading in re.findall(r"\b(docs/[\w/]+\.md)(?:#([\w-]+)|, '?([A-Z][\w ]+)'?\.)?", text):
            found.append(name)
            assert (CHECKOUT / name).is_file(), f"{path}: {name}"
            if anchor or heading:
                assert (anchor or _slug(heading)) in _anchors(CHECKOUT / name), f"{path}: {name}, {anchor or heading}"
    assert found


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_project_that_a_page_names_exists(page: str) -> None:
    place = r"(?:(?<![\w/])|(?<=/opt/topo_pipeline/))"  # or in the checkout of the example service
    named = set(re.findall(place + r"(?:topo_pipeline|tools|bench|docs|bi)/[\w/*]*\.\w+", text_of(page)))
    assert not [name for name in named if not list(CHECKOUT.glob(name))]


def test_operations_lists_every_schedule_and_sensor() -> None:
    definitions = yaml.safe_load((CHECKOUT / "topo_pipeline_tests" / "definitions.yaml").read_text(encoding="utf-8"))
    assert {row[0] for row in _rows("docs/operations.md")} >= {*definitions["schedules"], *definitions["sensors"]}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_accepted(page: str) -> None:
    """Each command in a code block is parsed as the shell and the command line do it, but not run."""
    for name, *arguments in commands_of(page):
        COMMANDS[name].make_context(name, arguments)  # raises a usage error if invalid


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_in_the_text_exists(page: str) -> None:
    for name, *arguments in _commands_in_text(page):
        command = GROUP if name.startswith("-") else COMMANDS[name]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        named = {word for word in (name, *arguments) if word.startswith("-")}
        assert named <= options | {"--help", "--install-completion", "--organization"}, (name, arguments)


def test_every_make_target_exists_and_is_described_where_targets_are_listed() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z-]+)", text_of(page), re.MULTILINE)}
    assert named <= targets
    assert targets - {"install", "demo", "dev", "bench", "clean", "help"} <= set(
        re.findall(r"^make ([a-z-]+) ", text_of("CONTRIBUTING.md"), re.MULTILINE)
    )


def test_the_settings_page_has_every_variable_with_its_default() -> None:
    """A test of the settings compares .env.example with the code."""
    shown = {name: default for name, default, *_ in _rows("docs/settings.md") if name.isupper()}
    example = (CHECKOUT / ".env.example").read_text(encoding="utf-8")
    assert shown == {
        name: value or "–"
        for name, value in (line.lstrip("# ").split("=", 1) for line in example.splitlines() if "=" in line)
    }
    assert shown.keys() == VARIABLES


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md"])
def test_the_lists_of_commands_are_complete(page: str) -> None:
    words = (word for row in _rows(page) for word in row[0].replace(",", " ").split())
    assert {word for word in words if word.islower()} >= COMMANDS.keys()


def test_the_tables_that_are_listed_exist() -> None:
    """metrics.md has every table. A new one needs no row in these lists."""
    listed = {name for row in _rows("docs/data.md") for name in re.findall(r"engagement\.(\w+)", row[0])}
    assert listed <= {name for table in tables().values() for name in table.comments()}
    in_readme = {name for row in _rows("README.md") for name in re.findall(r"\b(?:sequence|workspace)_\w+", row[0])}
    assert in_readme <= listed


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert metadata.version("topo-pipeline") == version
    headings = re.findall(r"^## (.*)$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert all(re.fullmatch(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings)
    assert "[Unreleased]" in headings or headings[0].startswith(f"[{version}]")
    wheels = {found for page in PAGES for found in re.findall(r"topo_pipeline-([\d.]+)-py3", text_of(page))}
    assert wheels == {version}


def _inline(page: str) -> Iterator[Token]:
    return (child for token in tokens_of(page) for child in token.children or [])


def _links(page: str) -> Iterator[str]:
    for token in _inline(page):
        link = str(token.attrs.get("href") or token.attrs.get("src") or "")
        if link and ":" not in link:
            yield link


@cache
def _anchors(path: Path) -> set[str]:
    tokens = MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8"))
    return {
        _slug("".join(child.content for child in text.children or []))
        for opening, text in zip(tokens, tokens[1:], strict=False)
        if opening.type == "heading_open"
    }


def _slug(heading: str) -> str:
    """Return the anchor that GitHub and the site make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _rows(page: str) -> Iterator[list[str]]:
    """Yield the cells of each row of each table as plain text."""
    cells: list[str] = []
    for token in tokens_of(page):
        if token.type == "inline":
            cells.append("".join(child.content for child in token.children or []))
        elif token.type == "tr_open":
            cells = []
        elif token.type == "tr_close":
            yield cells


def _commands_in_text(page: str) -> Iterator[list[str]]:
    for code in (token.content for token in _inline(page) if token.type == "code_inline"):
        if found := re.fullmatch(r"(?:\.venv/bin/)?topo-pipeline ([^A-Z(].*)", code.replace("\n", " ")):
            yield found[1].replace("…", "").split()
