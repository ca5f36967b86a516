"""Check the settings: whether they are valid and where they come from."""

from collections.abc import Iterator
from difflib import get_close_matches

from topo_pipeline.doctor.finding import Finding, ok, problem, warning
from topo_pipeline.settings import (
    OrganizationError,
    Settings,
    SettingsError,
    get_settings,
    named_variables,
    usable_settings,
    variables,
    where_set,
)


def look() -> tuple[Settings, list[Finding]]:
    """Return the settings, with defaults for invalid ones, and the findings about them."""
    try:
        settings = get_settings()
    except OrganizationError:
        raise
    except SettingsError as error:
        if variables("TOPO_ORGANIZATION").get("TOPO_ORGANIZATION"):
            raise  # other settings would be those of another workspace
        return usable_settings(), [
            problem("settings", f"{str(error).rstrip('.')}.", "Correct it in .env or the environment.")
        ]
    findings = list(_unknown_settings(settings))
    if not findings:
        own = f"{settings.organizations_file}, [{settings.organization}], and for the rest .env and the environment"
        sources = own if settings.organization else _sources()
        findings.append(ok("settings", f"{sources}. Reporting days are in {settings.timezone}."))
    return settings, findings


def look_at_heartbeat(settings: Settings) -> Iterator[Finding]:
    """Report whether a heartbeat address is set. It is not requested."""
    if settings.heartbeat_url:
        yield ok("heartbeat", "TOPO_HEARTBEAT_URL is set. It is requested after each successful night.")
    else:
        yield ok("heartbeat", "TOPO_HEARTBEAT_URL is not set, so no outside monitor notices when nothing runs.")


def _sources() -> str:
    places = where_set()
    sources = [
        f"{', '.join(sorted(name for name, where in places.items() if where == place))} from {place}"
        for place in sorted(set(places.values()))
    ]
    return "; ".join(sources) or "No variables are set, so all settings are defaults"


def _unknown_settings(settings: Settings) -> Iterator[Finding]:
    """Warn about unknown variables that look like settings: a typo silently leaves the default in force."""
    known = {str(field.validation_alias or f"TOPO_{name.upper()}") for name, field in Settings.model_fields.items()}
    for name, place in sorted(where_set().items()):
        if name.upper() not in known and name not in named_variables(settings):
            meant = get_close_matches(name.upper(), known, 1)
            do = f"Did you mean {meant[0]}?" if meant else "Remove it."
            yield warning("settings", f"{name} (from {place}) is not a known setting.", do)
