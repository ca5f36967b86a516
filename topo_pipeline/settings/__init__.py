"""The settings: the environment, read once into one frozen object. Nothing else in the package reads the environment.

The file that `TOPO_RULES` names is read with them, so that an invalid file is reported before anything runs. With
several organizations, the file `TOPO_ORGANIZATIONS` has the settings of each.
"""

import os
from collections.abc import Container, Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from topo_pipeline.common import commands
from topo_pipeline.settings import organizations
from topo_pipeline.settings.environment import variables, where_set
from topo_pipeline.settings.model import Settings
from topo_pipeline.settings.values import A_DATA_PATH, LAKE, LOOPBACK, SHARED_LAKE

__all__ = [
    "LAKE",
    "LOOPBACK",
    "OrganizationError",
    "SHARED_LAKE",
    "Settings",
    "SettingsError",
    "base_settings",
    "choose",
    "get_settings",
    "named_variables",
    "of_organizations",
    "usable_settings",
    "variables",
    "where_set",
]

_MAIL = {"smtp_url", "report_mail_to", "report_mail_from"}


class SettingsError(Exception):
    """The environment is invalid. The message names each variable and what is wrong with it."""


class _FromEnvironmentAlone(Settings):
    model_config = SettingsConfigDict(env_file=None)


class OrganizationError(SettingsError):
    """No organization is chosen, or the settings of the chosen one can't be used."""

    def __init__(self, sentence: str, choices: Sequence[str] = ()) -> None:
        """Take the sentence and the names to choose from."""
        super().__init__(sentence)
        self.choices = choices


def choose(organization: str) -> None:
    """Use the settings of this organization in this process and those it starts."""
    os.environ["TOPO_ORGANIZATION"] = organization
    commands.organization.set(organization)
    get_settings.cache_clear()


@cache
def get_settings() -> Settings:
    """Return the settings of this process: those of the environment, or of the organization that it names.

    Raises:
        SettingsError: a setting has an invalid value, or an organization must be chosen.
    """
    base = base_settings()
    commands.sources.set(None)
    if (found := of_organizations(base)) is None:
        if base.organization:
            raise OrganizationError("There is no organizations.toml in this folder, so no organization can be chosen.")
        return base
    names = ", ".join(found)
    if base.organization is None:
        raise OrganizationError(f"{base.organizations_file} has the organizations {names}. Choose one.", [*found])
    chosen = found.get(
        base.organization, OrganizationError(f"{base.organization} is not one of the organizations: {names}.")
    )
    if isinstance(chosen, SettingsError):
        raise chosen
    commands.sources.set(chosen.sources)
    return chosen


def of_organizations(base: Settings | None = None) -> dict[str, Settings | SettingsError] | None:
    """Return the settings of each organization, or what is wrong with them. None without a file of organizations.

    Raises:
        SettingsError: the environment or the file can't be used.
    """
    base = base or base_settings()
    file = base.organizations_file
    if file is None or ("organizations_file" not in base.model_fields_set and not file.exists()):
        return None
    try:
        tables = organizations.read(file)
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    values, found = variables(""), dict[str, Settings | SettingsError]()
    for name, table in tables.items():
        try:
            found[name] = organizations.build(name, table, base, values)
        except ValidationError as error:
            sentences = "; ".join(_sentence(dict(each), table) for each in error.errors())
            sources = organizations.sources_of(name, table, base)
            found[name] = _invalid(base, name, sources.named(sentences, names_file=True))
        except ValueError as error:
            found[name] = _invalid(base, name, str(error))
    usable = {name: settings for name, settings in found.items() if isinstance(settings, Settings)}
    return found | {name: _invalid(base, name, why) for name, why in organizations.shared(usable).items()}


def named_variables(settings: Settings) -> set[str]:
    """Return the variables that the file of organizations names."""
    if settings.organization is None or settings.organizations_file is None:
        return set()
    tables = organizations.read(settings.organizations_file)
    return {str(value) for table in tables.values() for key, value in table.items() if key.endswith("_variable")}


def _invalid(base: Settings, name: str, why: str) -> SettingsError:
    return OrganizationError(f"{base.organizations_file}, [{name}]: {why}.")


def base_settings() -> Settings:
    """Return the settings of the environment. Those of an organization are based on them.

    Raises:
        SettingsError: a variable has an invalid value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(dict(problem)) for problem in error.errors())) from None
    except UnicodeDecodeError:
        raise SettingsError("The file .env is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise SettingsError(f"The file .env can't be read: {error.strerror}.") from None


def usable_settings() -> Settings:
    """Return the settings with defaults for invalid values, for diagnostics.

    Raises:
        SettingsError: no settings could be built.
    """
    defaults: dict[str, Any] = {}
    kind = Settings
    for _ in range(len(Settings.model_fields)):
        try:
            return kind(**defaults)
        except ValidationError as error:
            refused = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
            if not refused:
                refused = {"warehouse"} if A_DATA_PATH in str(error) else organizations.ALERTS | _MAIL
            fields = {str(field.validation_alias or name): field for name, field in Settings.model_fields.items()}
            defaults |= {name: fields[name].default for name in refused}
        except (OSError, UnicodeDecodeError):
            kind = _FromEnvironmentAlone
    raise SettingsError("The environment can't be used.")


def _sentence(problem: dict[str, Any], table: Container[str] = ()) -> str:
    """Return what is wrong with a variable, or with a key of an organization's table."""
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")  # the message names the variables
    name = str(problem["loc"][0])
    variable = name if name.isupper() else f"TOPO_{name.upper()}"
    key = variable.removeprefix("TOPO_").lower()
    variable = next((given for given in (key, f"{key}_variable") if given in table), variable)
    if problem["type"].startswith("date"):
        return f"{variable} must be a date, for example 2026-03-01"
    message = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    message = message.partition(", unable to parse")[0]
    return f"{variable} {message}" if message.startswith("must be") else f"{variable}: {message}"
