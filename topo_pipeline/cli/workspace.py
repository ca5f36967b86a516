"""Which workspace a command works on: that of the settings, or the demo."""

from pathlib import Path
from typing import Annotated

import typer

from topo_pipeline.cli.console import err, fail, get_settings, now

NO_API = "http://127.0.0.1:9/v1"  # port 9 (discard) answers nothing


def refuse_organization(context: typer.Context) -> None:
    """Exit if the command line has `--organization`: the demo has no organizations."""
    if context.find_root().params.get("organization"):
        fail("The demo has no organizations. Leave out --organization, or show no demo.", 2)


def _choose(context: typer.Context, is_asked: bool) -> bool:
    if context.resilient_parsing:  # the shell asks for completions
        return is_asked
    if is_asked:
        refuse_organization(context)
    from topo_pipeline.sandbox import demo

    exists = (demo.FOLDER / demo.WAREHOUSE).exists()
    if is_asked and not exists:
        fail("There is no demo in this folder yet. Run: topo-pipeline demo")
    is_demo = is_asked or (exists and not _has_workspace())
    if is_demo:
        demo.enter(NO_API, now().date())
        err.print(f"This is the demo, a simulated workspace in {demo.FOLDER}.")
    return is_demo


def _has_workspace() -> bool:
    """Return whether there are settings (a file, a key), a warehouse, or settings that the command should refuse."""
    from topo_pipeline.settings import SettingsError

    try:
        settings = get_settings()
    except SettingsError:
        return True
    has_settings = settings.api_key is not None or settings.is_lake or Path(".env").exists()
    return has_settings or Path(settings.warehouse).exists()


Demo = Annotated[
    bool,
    typer.Option(
        "--demo", help="Use the demo. The default if it has run and there is no workspace yet.", callback=_choose
    ),
]
