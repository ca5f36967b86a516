"""`sandbox` and `dev`: what serves until a signal ends it."""

import os
import signal
import threading
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from dotenv import dotenv_values
from rich.markup import escape

from topo_pipeline.cli.console import ENDINGS, clear_errors, err, fail, now, out
from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    from topo_pipeline.sandbox.quirks import Quirks


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")] = 8100,
    seed: Annotated[int, typer.Option(help="Another seed is another workspace.")] = 7,
    quirk: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="How the API differs from what is documented; can be repeated."),
    ] = None,
) -> None:
    """Serve a simulated Topo API until Ctrl-C.

    Its address and key are printed as lines that .env takes.

    \b
    Examples:
      topo-pipeline sandbox
      topo-pipeline sandbox --port 0 --seed 11
      topo-pipeline sandbox --quirk bounds_inclusive --quirk max_page_size=50
    """
    with clear_errors():
        from topo_pipeline import demo as simulated

        with simulated.sandbox(now, port=port, seed=seed, quirks=_quirks(quirk or [])) as api_url:
            out.print(f"TOPO_API_URL={api_url}\nTOPO_API_KEY={simulated.API_KEY}", highlight=False)
            err.print("The sandbox serves until Ctrl-C.")
            _wait_for_signal()


def _quirks(switches: list[str]) -> "Quirks":
    from topo_pipeline.sandbox.quirks import parse

    try:
        return parse(switches)
    except ValueError as error:
        fail(str(error), 2)


def dev(port: Annotated[int, typer.Option(min=1, max=65535, help="The port of Dagster's UI.")] = 3000) -> None:
    """Open Dagster's UI: over Topo, or without a key over the sandbox.

    Its daemon runs with it: tables follow, and schedules where TOPO_AUTOMATION is on.

    \b
    Examples:
      topo-pipeline dev
      topo-pipeline dev --port 3001
    """
    with clear_errors():
        if get_settings().api_key is not None:
            from topo_pipeline.defs.resources import Topo

            Topo(get_settings(), now).client()  # an address or a key that can't be used is met here, not shown
            _serve(port, {**dotenv_values(".env"), **os.environ}, f"Dagster's UI over {get_settings().api_url}")
        from topo_pipeline import demo as simulated

        get_settings.cache_clear()
        with simulated.sandbox(now) as api_url:
            simulated.enter(api_url)
            _serve(port, dict(os.environ), "TOPO_API_KEY is not set: Dagster's UI over the demo's sandbox")


def _serve(port: int, environment: dict[str, str | None], title: str) -> NoReturn:
    """Run Dagster's UI and daemon until they end, or until a signal tells us to end them; exit as they do."""
    from topo_pipeline.instance import prepare
    from topo_pipeline.services import HOST, reserved, run

    settings = get_settings()
    workspace = prepare(settings.dagster_home)
    told = {
        **{name: value for name, value in environment.items() if value is not None},
        "DAGSTER_HOME": str(settings.dagster_home),
        "TOPO_WAREHOUSE": settings.warehouse,
        "TOPO_REPORT_DIR": str(settings.report_dir),
        "TOPO_RULES": str(settings.rules_file or ""),
        # dg dev supersedes it, but is no part of what an installed package brings.
        "PYTHONWARNINGS": "ignore:Function `dev_command` is superseded",
    }
    with reserved(settings.dagster_home, port) as lock:
        err.print(f"{escape(title)}: http://{HOST}:{port}", highlight=False)
        for number in ENDINGS:
            signal.signal(number, signal.default_int_handler)
        raise typer.Exit(run(workspace, port, lock, told))


def _wait_for_signal() -> None:
    stop = threading.Event()
    for number in ENDINGS:
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
