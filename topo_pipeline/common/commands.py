"""Commands and settings in texts, as the organization that this process or run works on needs them.

Texts name a setting by its variable, such as `TOPO_TIMEZONE`. With several organizations it is a key of a table.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import chain, repeat

# Those that work on one organization.
_COMMAND = re.compile(
    r"\btopo-pipeline (?=(?:backfill|backup|compare|doctor|explain|export|forget|report|restore|sequences|status)\b)"
)
# A variable that is not a part of a longer name or a path. Texts give only values such as `on`, a date or a time zone.
_SETTING = re.compile(r"(\b[Ss]et )?(?<![\w/.-])(TOPO_[A-Z_]*[A-Z])(?![\w/-]|\.\w)(?:=([\w/+-]+))?")
_BARE = re.compile(r"\d+|\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Sources:
    """Where an organization's settings come from."""

    organization: str
    file: str
    keys: Mapping[str, str]  # the key in the organization's table that sets what a variable sets for all
    variables: Mapping[str, str]  # the variable that the table names, by the one that sets the same for all
    inherited: Collection[str]  # the variables that set it for all, and for this organization too

    def named(self, text: str, *, names_file: bool = False) -> str:
        """Return the text with each setting named by the variable that it is taken from, or by its key in the table.

        Where the text says to set one that is inherited, it is the key: the variable would change it for all. The file
        is named once, unless the text already names it. Named again, the text stays the same.
        """
        where = chain([] if names_file else [f"{self.organization} in {self.file}"], repeat(self.organization))

        def name(found: re.Match[str]) -> str:
            verb, variable, value = found.groups()
            if variable not in self.keys or variable in self.variables.values():
                return found[0]
            if variable in self.inherited and not verb:
                return found[0]
            if own := self.variables.get(variable):
                shown = own if value is None else f"{own}={value}"
            else:
                key, of = self.keys[variable], next(where)
                shown = f"{key} of {of}" if value is None else f"{key} = {_toml(value)} for {of}"
            return f"{verb or ''}{shown}"

        return _SETTING.sub(name, text)


organization: ContextVar[str | None] = ContextVar("organization", default=None)
"""The organization that was chosen, if there are several, and that a command has to name."""
sources: ContextVar[Sources | None] = ContextVar("sources", default=None)
"""Where the settings of the organization come from, if there are several."""


@contextmanager
def written_for(name: str | None, its_sources: Sources | None) -> Iterator[None]:
    """Write texts for this organization."""
    before = organization.set(name), sources.set(its_sources)
    try:
        yield
    finally:
        organization.reset(before[0])
        sources.reset(before[1])


def pasteable(text: str) -> str:
    """Return the text with the organization in each command, and with its own name of each setting.

    It may be called again for the same text.
    """
    chosen, known = organization.get(), sources.get()
    if chosen:
        text = _COMMAND.sub(f"topo-pipeline --organization {chosen} ", text)
    return known.named(text) if known else text


def _toml(value: str) -> str:
    return value if _BARE.fullmatch(value) else f"'{value}'"
