"""MkDocs hooks: pages and linked files from outside docs/ are part of the site, under the same links as on GitHub.

README.md is the home page. A link such as `../tools/worked_examples.sql` is relative to the file that has it, and the
file it names is copied into the site.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

CHECKOUT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and the files that any page links to. Only the first are in the navigation."""
    for source in PAGES:
        files.append(_file(source, config, InclusionLevel.INCLUDED))
    pages = [*files.documentation_pages()]
    for page in pages:  # grows with the pages that are linked
        for link in _LINK.findall(page.content_string):
            source = _target(page, link)
            if _place(source) not in files.src_uris and (CHECKOUT / source).is_file():
                files.append(found := _file(source, config, InclusionLevel.NOT_IN_NAV))
                pages += [found] if found.is_documentation_page() else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Make the links relative to the page's place in the site."""
    folder = Path(page.file.src_uri).parent
    return _LINK.sub(lambda link: os.path.relpath(_place(_target(page.file, link[0])), folder), markdown)


def _file(source: str, config: MkDocsConfig, inclusion: InclusionLevel) -> File:
    return File.generated(config, _place(source), abs_src_path=str(CHECKOUT / source), inclusion=inclusion)


def _target(page: File, link: str) -> str:
    """Return the path of a linked file in the checkout."""
    source = Path(str(page.abs_src_path)).relative_to(CHECKOUT)
    return os.path.normpath(source.parent / link)


def _place(source: str) -> str:
    """Return the path in the site of a file of the checkout."""
    return PAGES.get(source, source.removeprefix("docs/"))
