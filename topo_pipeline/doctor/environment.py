"""The settings: whether they can be used, and where they come from."""

from collections.abc import Iterator
from difflib import get_close_matches

from topo_pipeline.doctor.finding import Finding, ok, problem, warning
from topo_pipeline.settings import Settings, SettingsError, get_settings, usable_settings, where_set


def look() -> tuple[Settings, list[Finding]]:
    """The settings as far as they can be used, and what is to be said of them."""
    try:
        settings = get_settings()
    except SettingsError as error:
        return usable_settings(), [
            problem("settings", f"{str(error).rstrip('.')}.", "Correct it; the rest was looked at without it.")
        ]
    findings = list(_slips())
    if not findings:
        findings.append(ok("settings", f"{_sources()}; days are cut in {settings.timezone}."))
    return settings, findings


def look_at_heartbeat(settings: Settings) -> Iterator[Finding]:
    """Say whether a heartbeat address is set; it is not requested."""
    if settings.heartbeat_url:
        yield ok("heartbeat", "TOPO_HEARTBEAT_URL is set: it is requested after each good night.")
    else:
        yield ok("heartbeat", "TOPO_HEARTBEAT_URL is not set: nobody outside notices when nothing runs.")


def _sources() -> str:
    places = where_set()
    told = [
        f"{', '.join(sorted(name for name, where in places.items() if where == place))} from {place}"
        for place in sorted(set(places.values()))
    ]
    return "; ".join(told) or "Nothing is set: all defaults"


def _slips() -> Iterator[Finding]:
    """What looks like a setting and is none: a slip would leave the default in force, unseen."""
    known = {str(field.validation_alias or f"TOPO_{name.upper()}") for name, field in Settings.model_fields.items()}
    for name, place in sorted(where_set().items()):
        if name.upper() not in known:
            meant = get_close_matches(name.upper(), known, 1)
            do = f"Did you mean {meant[0]}?" if meant else "Remove it."
            yield warning("settings", f"{name} (from {place}) is no setting.", do)
