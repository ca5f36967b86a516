"""Several organizations: a TOML file with a table for each, named after it, whose keys are settings.

A key is a setting's name in lower case without `TOPO_`. `api_key_variable = "ACME_KEY"` takes the value from the
variable `ACME_KEY`; secrets can only be given like this. What a table leaves out comes from the environment. Places
that two organizations must not share get the organization's name.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import permutations
from pathlib import Path
from typing import Any

from topo_pipeline.common.commands import Sources
from topo_pipeline.settings.model import Settings
from topo_pipeline.settings.values import LAKE, SHARED_LAKE

Tables = dict[str, dict[str, Any]]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
_RULE = "begins with a letter and has up to 30 lower-case letters, digits and underscores"
_VARIABLE = "_variable"
_OF_ALL = {"organization", "organizations_file", "dagster_home"}
_FIELDS = {"rules" if name == "rules_file" else name: name for name in Settings.model_fields if name not in _OF_ALL}
_SECRETS = {key for key, name in _FIELDS.items() if "SecretStr" in repr(Settings.model_fields[name].annotation)}
_PLACES = {"warehouse", "lake_data_path", "report_dir", "rules"}
ALERTS = {"alert_webhook", "alert_webhook_format", "alert_slack_token", "alert_slack_channel"}
# Never taken from the environment, where it would be the same for all.
_OWN = {"api_key", "heartbeat_url", "report_url", "lake_schema"}


class Organization(Settings):
    """The settings of one of several organizations."""

    def __init__(self, key_variable: str, sources: Sources, **values: Any) -> None:
        """Take the values, and the rest from the environment."""
        super().__init__(**values)
        self._key_variable, self._sources = key_variable, sources


def read(file: Path) -> Tables:
    """Return the tables of the file, by the organization's name.

    Raises:
        ValueError: the file can't be read or has no table.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if not tables:
        raise ValueError(f"{file} has no organization. Add a table such as [acme] with api_key_variable")
    if others := [name for name, table in tables.items() if not isinstance(table, dict)]:
        raise ValueError(f"{file}: {others[0]} must be in the table of an organization, such as [acme]")
    return tables


def build(name: str, table: Mapping[str, Any], base: Settings, variables: Mapping[str, str]) -> Organization:
    """Return the settings of an organization.

    Args:
        name: Its name.
        table: Its table. Relative paths are resolved from the folder of the file.
        base: The settings of the environment, for what the table leaves out.
        variables: The variables from which `..._variable` takes values.

    Raises:
        ValueError: the name or a key can't be used.
        pydantic.ValidationError: a value is invalid.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a name {_RULE}")
    given = dict(_given(table, variables))
    folder = (base.organizations_file or Path()).parent
    given |= {key: _from(folder, given[key]) for key in _PLACES & given.keys()}
    values = {**dict.fromkeys(_own(table)), **_apart(name, base), **given}
    aliases = {key: Settings.model_fields[field].validation_alias or field for key, field in _FIELDS.items()}
    return Organization(
        table["api_key_variable"],
        sources_of(name, table, base),
        organization=name,
        **{str(aliases[key]): value for key, value in values.items()},
    )


def sources_of(name: str, table: Mapping[str, Any], base: Settings) -> Sources:
    """Return where the settings of an organization come from: its table, or variables."""
    keys, variables, inherited = dict[str, str](), dict[str, str](), set[str]()
    own = _own(table)
    for key, field in _FIELDS.items():
        variable = str(Settings.model_fields[field].validation_alias or f"TOPO_{field.upper()}")
        keys[variable] = f"{key}{_VARIABLE}" if key in _SECRETS else key
        if f"{key}{_VARIABLE}" in table:
            variables[variable] = str(table[f"{key}{_VARIABLE}"])
        elif key not in own and field in base.model_fields_set:
            inherited.add(variable)
    file = base.organizations_file.name if base.organizations_file else ""
    return Sources(name, file, keys, variables, inherited)


def _own(table: Mapping[str, Any]) -> set[str]:
    """Return the keys that are not taken from the environment.

    The alert settings of a table replace all those of the environment, which may be of another kind.
    """
    own = _OWN | {given.removesuffix(_VARIABLE) for given in table}
    return own | ALERTS if own & ALERTS else own


def _given(table: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    if "api_key_variable" not in table and "api_key" not in table:
        raise ValueError("api_key_variable is missing: the name of the variable that holds the API key")
    for given, value in table.items():
        key = given.removesuffix(_VARIABLE)
        if key not in _FIELDS:
            near = get_close_matches(given, [*_FIELDS, *(f"{secret}{_VARIABLE}" for secret in _SECRETS)], 1)
            raise ValueError(f"{given} is not a setting" + (f", unlike {near[0]}" if near else ""))
        if given == key:
            if key in _SECRETS:
                raise ValueError(f"{key} is a secret: set {key}{_VARIABLE} to the name of a variable that holds it")
            yield key, value
            continue
        if not isinstance(value, str) or not value:
            raise ValueError(f"{given} must be the name of a variable")
        if key in table and key not in _SECRETS:
            raise ValueError(f"{key} and {given} can't both be set")
        if key != "api_key" and not variables.get(value):
            raise ValueError(f"{given}: {value} is not set")
        yield key, variables.get(value)


def _from(folder: Path, place: Any) -> Any:
    if not isinstance(place, str) or "://" in place or place.startswith(SHARED_LAKE):
        return place
    scheme = LAKE if place.startswith(LAKE) else ""
    return f"{scheme}{folder / Path(place.removeprefix(LAKE)).expanduser()}"


def _apart(name: str, base: Settings) -> dict[str, Any]:
    """Return the places that are the organization's own, derived from those of the environment."""
    own: dict[str, Any] = {
        "warehouse": base.warehouse,
        "lake_schema": name,
        "report_dir": base.report_dir / name,
        "publish_postgres_schema": f"{base.publish_postgres_schema}_{name}",
        "publish_s3": base.publish_s3 and f"{base.publish_s3}/{name}",
        "publish_iceberg": base.publish_iceberg and f"{base.publish_iceberg}_{name}",
    }
    if not base.warehouse.startswith(SHARED_LAKE):
        scheme = LAKE if base.is_lake else ""
        file = Path(base.warehouse.removeprefix(LAKE))
        own["warehouse"] = f"{scheme}{file.with_name(f'{name}{file.suffix}')}"
    return own


def shared(organizations: Mapping[str, Settings]) -> dict[str, str]:
    """Return what each organization has in common with another one and must not, as a sentence, by name."""
    uses = {name: dict(_uses(settings)) for name, settings in organizations.items()}
    found: dict[str, str] = {}
    for name, other in permutations(uses, 2):
        for use, what in uses[name].items():
            if use in uses[other]:
                found.setdefault(name, f"{what} is also that of {other}")
        folder, theirs = (organizations[each].report_dir.resolve() for each in (name, other))
        if folder != theirs and folder.is_relative_to(theirs):
            found.setdefault(name, f"report_dir is in that of {other}")
    return found


def _uses(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what only one organization may use, and the key that says so."""
    if settings.warehouse.startswith(SHARED_LAKE):
        yield ("lake", settings.warehouse, settings.lake_schema), "lake_schema"
    else:
        yield ("file", str(Path(settings.warehouse.removeprefix(LAKE)).resolve())), "warehouse"
    yield ("report_dir", str(settings.report_dir.resolve())), "report_dir"
    if settings.api_key:  # each organization reads at its own pace
        yield ("key", settings.api_url, settings.api_key.get_secret_value()), f"the key in {settings.key_variable}"
    if settings.publish_s3:
        yield ("s3", settings.publish_s3), "publish_s3"
    if settings.publish_postgres:
        address = settings.publish_postgres.get_secret_value()
        yield ("postgres", address, settings.publish_postgres_schema), "publish_postgres_schema"
    if settings.publish_iceberg:
        yield ("iceberg", settings.publish_iceberg), "publish_iceberg"
